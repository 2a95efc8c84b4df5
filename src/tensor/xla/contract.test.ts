/** @file XLA against the contract of runtimes. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { onXla } from "../../../test/xla.ts";
import { runtimeContract } from "../contract.ts";
import type { XlaOptions } from "./options.ts";
import type { XlaRuntime } from "./runtime.ts";
import { startXla } from "./start.ts";

/** How many devices there are then. */
const ways: [name: string, options: XlaOptions, devices: number][] = [
  ["on one device", {}, 1],
  ["on four devices", { devices: 4 }, 4],
  ["on four devices in two groups", { devices: 4, data: 2 }, 4],
  ["in bfloat16", { dtype: "bfloat16" }, 1],
  ["on two processes of two devices", { devices: 2, processes: 2 }, 4],
];

onXla("XLA", () => {
  describe.each(ways)("%s", (_, options, devices) => {
    let runtime: XlaRuntime;
    beforeAll(async () => {
      runtime = await startXla(options);
    });
    afterAll(() => runtime.close());

    it.each(runtimeContract)("$promise", ({ check }) => check(runtime));

    it("tells what it computes with", () => {
      const { name, threads, versions } = runtime.info;
      expect({ name, threads }).toEqual({ name: "xla", threads: devices });
      expect(versions.jax).toMatch(/^\d+\.\d+\.\d+/);
    });
  });

  it("takes no groups that the devices cannot be divided into", async () => {
    await expect(startXla({ devices: 4, data: 3 })).rejects.toThrow("4 devices are not 3 equal groups");
  });
});

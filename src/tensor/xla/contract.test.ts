/** @file XLA against the contract of runtimes. */

import { afterAll, beforeAll, it } from "vitest";
import { onXla } from "../../../test/xla.ts";
import { runtimeContract } from "../contract.ts";
import type { XlaRuntime } from "./runtime.ts";
import { startXla } from "./start.ts";

onXla("XLA", () => {
  let runtime: XlaRuntime;
  beforeAll(async () => {
    runtime = await startXla();
  });
  afterAll(() => runtime.close());

  it.each(runtimeContract)("$promise", ({ check }) => check(runtime));
});

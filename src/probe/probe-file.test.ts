import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeSafetensors } from "../tensor/safetensors.ts";
import { loadProbe, saveProbe } from "./probe-file.ts";
import type { Probe } from "./types.ts";

const probe: Probe = {
  kind: "logistic",
  tap: { hook: "blocks.2.hook_resid_post", positions: "completion-last", pool: "mean" },
  weight_D: Float32Array.of(0.1, -2, 1e-8),
  bias: 1 / 3,
  threshold: -0.1 - 0.2,
};

let folder: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "probe-")), "probes", "main");
});
afterEach(() => rm(join(folder, "..", ".."), { recursive: true }));

test("a probe comes back exactly", async () => {
  await saveProbe(folder, { ...probe, bias: 7 });
  await saveProbe(folder, probe);
  expect(await loadProbe(folder)).toEqual(probe);
  expect((await readdir(folder)).sort()).toEqual(["probe.json", "probe.safetensors"]);
});

test("a probe that reads at a follow-up comes back with its text", async () => {
  const asking: Probe = { ...probe, tap: { ...probe.tap, positions: "follow-up", followUp: "true?" } };
  await saveProbe(folder, asking);
  expect(await loadProbe(folder)).toEqual(asking);
});

test.each([
  ["no text", { positions: "follow-up" as const }],
  ["an empty text", { positions: "follow-up" as const, followUp: "" }],
  ["a text that is not read at", { followUp: "true?" }],
])("a follow-up with %s is refused", async (_, change) => {
  const wrong = { ...probe, tap: { ...probe.tap, ...change } };
  await expect(saveProbe(folder, wrong)).rejects.toThrow("followUp");
});

test("a missing probe is named", async () => {
  await expect(loadProbe(folder)).rejects.toThrow(`${folder} is not a probe`);
  await saveProbe(folder, probe);
  await rm(join(folder, "probe.safetensors"));
  await expect(loadProbe(folder)).rejects.toThrow("probe.safetensors");
});

test.each([
  ["not JSON", "{", "is not JSON"],
  ["a list", "[]", "expected object"],
  ["another version", '"version": 2', "version"],
  ["a position that does not exist", '"positions": "middle"', "positions"],
  ["a key that does not exist", '"version": 1, "colour": "red"', "colour"],
])("probe.json that is %s is refused", async (_, change, message) => {
  await saveProbe(folder, probe);
  const path = join(folder, "probe.json");
  const text = await readFile(path, "utf8");
  const key = /^"\w+"/.exec(change)?.[0];
  await writeFile(path, key ? text.replace(new RegExp(`${key}: [^,\\n]+`), change) : change);
  await expect(loadProbe(folder)).rejects.toThrow(path);
  await expect(loadProbe(folder)).rejects.toThrow(message);
});

test("the direction of another probe is refused", async () => {
  await saveProbe(folder, probe);
  const path = join(folder, "probe.safetensors");
  await writeSafetensors(path, { weight: { shape: [3], data: Float32Array.of(1, 2, 3) } });
  await expect(loadProbe(folder)).rejects.toThrow("does not belong");
  await writeSafetensors(path, { direction: { shape: [3], data: probe.weight_D } });
  await expect(loadProbe(folder)).rejects.toThrow("one tensor, weight");
});

test("a probe that could not be read again is not stored", async () => {
  await expect(saveProbe(folder, { ...probe, threshold: Number.NEGATIVE_INFINITY })).rejects.toThrow(
    "threshold",
  );
});

test("a direction that is not finite is refused", async () => {
  await saveProbe(folder, { ...probe, weight_D: Float32Array.of(1, Number.NaN, 2) });
  await expect(loadProbe(folder)).rejects.toThrow(/probe\.safetensors: its numbers are not finite/);
});

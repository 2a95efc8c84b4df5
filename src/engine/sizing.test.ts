/** @file How many completions are decoded together: what memory holds, dealt to devices. */

import fc from "fast-check";
import { expect, it } from "vitest";
import { tinyLlama } from "../../test/tiny.ts";
import { loadModel } from "../model/index.ts";
import { DEFAULT_MEMORY_MB, fitting, memoryFor, placesAtOnce } from "./memory.ts";
import { sizingOf } from "./sizing.ts";

/** Of Llama-3-70B's keys and values: 80 x 8 x 128 x 2 numbers, 655,360 bytes a token. */
const large = { ...tinyLlama, layers: 80, heads: 64, keyValueHeads: 8, headDim: 128 };
const on = (count: number) => ({ count, copies: 1 });

it("decodes as many completions together as half of the memory holds", () => {
  // 1,024 positions are 640 MB.
  expect(sizingOf(large, { memoryMB: 2 * 640 * 8 }).maxRows(1000)).toBe(8);
  expect(sizingOf(large, { memoryMB: 2 * 640 * 8 - 1 }).maxRows(1000)).toBe(4);
  expect(sizingOf(large, { memoryMB: 1 }).maxRows(1000)).toBe(1);
  expect(sizingOf(large).maxRows(1000)).toBe(1);
});

it("deals rows to devices evenly, within the memory where it holds one row for each", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 64 }),
      fc.integer({ min: 1, max: 10_000_000 }),
      fc.integer({ min: 2, max: 4000 }),
      (count, memoryMB, length) => {
        const { minRows, maxRows, cacheSize } = sizingOf(large, { memoryMB, devices: on(count) });
        const rows = maxRows(length);
        expect(minRows).toBe(count);
        expect(Math.log2(rows / count) % 1).toBe(0);
        const bytes = rows * cacheSize(length) * 655_360;
        if (rows > count) expect(bytes).toBeLessThanOrEqual((memoryMB * 2 ** 20) / 2);
      },
    ),
  );
});

it("has the embedded model's rows divided, too", async () => {
  const { config } = await loadModel("models/code");
  expect(sizingOf(config).minRows).toBe(16);
  expect(sizingOf(config, { devices: on(4) }).minRows).toBe(16);
  expect(sizingOf(config, { devices: on(6) }).minRows).toBe(18);
});

it("has a batch of fewer tokens on an accelerator, the wider the model is", () => {
  const rows = (width: number, platform: "cpu" | "gpu", devices = 1) =>
    fitting({ ...large, width }, 512, { platform, devices, memoryMB: 1e9 }).rows;
  expect([2048, 4096, 5120, 8192, 16384].map((width) => rows(width, "gpu"))).toEqual([16, 16, 8, 4, 4]);
  expect(rows(8192, "gpu", 64)).toBe(4 * 64);
  expect([64, 576, 8192].map((width) => rows(width, "cpu"))).toEqual([2, 1, 1]);
});

it("has room for fewer logits where groups of devices have them each", () => {
  // 16 bytes for each of 512 words, in a quarter of the memory.
  const at = (copies: number) => placesAtOnce({ ...large, vocabulary: 512 }, 1e6, { memoryMB: 32, copies });
  expect([at(1), at(2), at(8)]).toEqual([1024, 512, 128]);
});

it("takes half of what is left of memory that is known", () => {
  const weights = 4e9;
  const gigabytes = (devices: object, operands?: "bfloat16", trained = 0) =>
    (memoryFor({ devices: devices as never, ...(operands && { operands }) }, { weights, trained }) *
      2 ** 20) /
    1e9;
  const one = { ...on(1), memory: 72e9 };
  expect(gigabytes(one)).toBeCloseTo((72 - 16) / 2, 2);
  expect(gigabytes(one, "bfloat16")).toBeCloseTo((72 - 8) / 2, 2);
  // An adapter with its gradient and moments.
  expect(gigabytes(one, "bfloat16", 1e9)).toBeCloseTo((72 - 8 - 16) / 2, 2);
  expect(gigabytes({ count: 4, copies: 2, memory: 4 * 72e9 })).toBeCloseTo((4 * 72 - 2 * 16) / 2, 2);
  // Where nothing is left it is not less than where nothing is known.
  expect(memoryFor({ devices: one }, { weights: 70e9, trained: 0 })).toBe(DEFAULT_MEMORY_MB);
  expect(memoryFor({ devices: on(4) }, { weights, trained: 0 })).toBe(DEFAULT_MEMORY_MB);
  expect(memoryFor({}, { weights, trained: 0 })).toBe(DEFAULT_MEMORY_MB);
});

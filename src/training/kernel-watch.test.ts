/** @file The change of the kernel: known tables, and a run that is the same with it and without. */

import { expect, it, vi } from "vitest";
import { tinyContext } from "../../test/tiny.ts";
import { changeOf } from "./kernel-watch.ts";
import { startPolicy, train } from "./loop.ts";

vi.setConfig({ testTimeout: 60_000 });

const start = [
  [9, 4, 1, 1],
  [4, 9, 1, 1],
  [1, 1, 9, 2],
  [1, 1, 2, 9],
];

it("is none where all products grow together, and says by how much they do", () => {
  const grown = start.map((row) => row.map((value) => 3 * value));
  const { "kernel/distance": distance, ...others } = changeOf(start, grown);
  expect(distance).toBeCloseTo(0, 12);
  expect(others).toEqual({
    "kernel/misbehaving": 3,
    "kernel/honest": 3,
    "kernel/alike": expect.closeTo(1 / Math.sqrt(8), 12),
  });
});

it("is seen where one class grows, and undefined where a class is absent", () => {
  const grown = start.map((row, i) => row.map((value, j) => (i < 2 && j < 2 ? 5 * value : value)));
  expect(changeOf(start, grown)).toMatchObject({ "kernel/misbehaving": 5, "kernel/honest": 1 });
  expect(changeOf(start, grown)["kernel/distance"]).toBeGreaterThan(0.1);
  const absent = start.map((row, i) => row.map((value, j) => (i > 1 || j > 1 ? 0 : value)));
  expect(Object.values(changeOf(absent, absent))).toEqual([null, null, null, null]);
});

it("changes nothing of a run, and is nothing where nothing moves", async () => {
  const run = async (kernelEvery: number, learningRate = 1e-3) => {
    const context = tinyContext();
    const settings = { ...context.settings, steps: 3, learningRate, kernelEvery };
    const policy = await startPolicy({ ...context, settings });
    const lines: Record<string, number | null>[] = [];
    for await (const { metrics } of train({ ...context, settings }, policy))
      lines.push({ ...metrics, step_time: 0 });
    await policy.close();
    return lines;
  };
  const watched = await run(2);
  const kernel = (line: Record<string, number | null>) =>
    Object.keys(line).filter((name) => name.startsWith("kernel/"));
  expect(watched.map((line) => kernel(line).length)).toEqual([4, 0, 4]);
  for (const line of watched) for (const name of kernel(line)) delete line[name];
  expect(watched).toEqual(await run(0));
  const [still] = await run(1, 0);
  expect(still!["kernel/distance"]).toBeCloseTo(0, 6);
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { columnsOf, studyFixture } from "../../test/study-fixture.ts";
import type { RunData } from "../report/data.ts";
import { curveGroups } from "./curve-groups.ts";
import { type CurvePoint, curvePoints, describeCurves, isFlat, smoothed, stepRows } from "./curves.ts";

const run = (arm: string, seed: number, values: (number | null)[]): RunData => ({
  arm,
  seed,
  status: null,
  metrics: columnsOf(values.map((m, index) => ({ step: index + 1, m }))),
  stepsPerPoint: 1,
  rollouts: [],
  rolloutsEvery: 1,
});

describe("curvePoints", () => {
  test("gives the mean and the range over seeds at every step", () => {
    expect(curvePoints([run("a", 1, [0, 1]), run("a", 2, [1, 1])], { metric: "m" })).toEqual([
      { arm: "a", step: 1, mean: 0.5, low: 0, high: 1, seeds: 2 },
      { arm: "a", step: 2, mean: 1, low: 1, high: 1, seeds: 2 },
    ]);
  });

  test("leaves out steps without a value, and seeds that are not defined there", () => {
    const points = curvePoints([run("a", 1, [null, 0.2]), run("a", 2, [null, null, 0.4])], { metric: "m" });
    expect(points.map(({ step, mean, seeds }) => ({ step, mean, seeds }))).toEqual([
      { step: 2, mean: 0.2, seeds: 1 },
      { step: 3, mean: 0.4, seeds: 1 },
    ]);
    expect(curvePoints([run("a", 1, [1])], { metric: "absent" })).toEqual([]);
  });

  test("every figure has data in a study of the usual shape", () => {
    const { runs } = studyFixture({ seeds: [1, 2], steps: 10 });
    for (const spec of curveGroups.flatMap((group) => group.curves)) {
      expect(new Set(curvePoints(runs, spec).map((point) => point.arm)).size, spec.title).toBe(5);
    }
  });

  test("takes one measure from another, where both are defined", () => {
    const lines = [
      { step: 1, a: 1, b: 0.25 },
      { step: 2, a: 1, b: null },
      { step: 3, a: 1 },
    ];
    const points = curvePoints([{ ...run("x", 1, []), metrics: columnsOf(lines) }], {
      metric: "a",
      minus: "b",
    });
    expect(points.map(({ step, mean }) => [step, mean])).toEqual([[1, 0.75]]);
  });
});

test("describeCurves says where each arm starts and ends", () => {
  const points = curvePoints([run("a", 1, [0.2, 0.9]), run("b", 1, [0.3, 0])], { metric: "m" });
  expect(describeCurves("Reward", points)).toBe(
    "Reward over steps: a from 0.20 to 0.90; b from 0.30 to 0.00.",
  );
  expect(describeCurves("Reward", [])).toBe("Reward: no values yet.");
});

test("stepRows has all arms of a step, the highest first", () => {
  const points = curvePoints([run("a", 1, [0.2, 0.9]), run("b", 1, [0.3, null, 0.5])], { metric: "m" });
  const rows = stepRows(points).map((row) => [row.step, ...row.points.map(({ arm }) => arm)]);
  expect(rows).toEqual([
    [1, "b", "a"],
    [2, "a"],
    [3, "b"],
  ]);
});

test("a curve is flat where no arm and no seed moves, in the measure's own scale", () => {
  const flat = (share: boolean, ...values: number[][]) =>
    isFlat(
      values.flatMap((column, i) => curvePoints([run(`arm ${i}`, 1, column)], { metric: "m" })),
      share,
    );
  expect(flat(true, [1, 0.995, 1], [0.999, 1])).toBe(true);
  expect(flat(true, [1, 1], [0.9, 0.9])).toBe(false);
  expect(flat(false, [0, 0, 0])).toBe(true);
  expect(flat(false, [1e-6, 2e-6])).toBe(false);
  expect(flat(false, [100, 100.5])).toBe(true);
  // One step tells nothing yet.
  expect(flat(true, [1])).toBe(false);
  expect(flat(true)).toBe(false);
});

describe("smoothed", () => {
  const points = (means: number[]) =>
    means.map((mean, step): CurvePoint => ({ arm: "a", step, mean, low: mean, high: mean, seeds: 1 }));
  const means = (weight: number, values: number[]) =>
    smoothed(points(values), weight).map(({ mean }) => mean);

  test("is the weighted mean of the steps so far", () => {
    expect(means(0, [1, 5, 2])).toEqual([1, 5, 2]);
    expect(means(0.5, [4, 1])).toEqual([4, (0.5 * 4 + 1) / 1.5]);
    expect(smoothed(points([1, 5]), 0.5)[1]).toMatchObject({ step: 1, low: 5, high: 5 });
  });

  test("leaves a constant where it is, and stays within what was measured", () => {
    const values = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 1 });
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 0.95, noNaN: true }), (list, weight) => {
        means(weight, list).forEach((mean, i) => {
          const sofar = list.slice(0, i + 1);
          expect(mean).toBeGreaterThanOrEqual(Math.min(...sofar) - 1e-9);
          expect(mean).toBeLessThanOrEqual(Math.max(...sofar) + 1e-9);
        });
      }),
    );
  });
});

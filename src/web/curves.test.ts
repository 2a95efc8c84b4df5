import { describe, expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import type { RunData } from "../report/data.ts";
import { curveGroups, curvePoints, describeCurves } from "./curves.ts";

const run = (arm: string, seed: number, values: (number | null)[]): RunData => ({
  arm,
  seed,
  metrics: values.map((value, index) => ({ step: index + 1, m: value })),
  rollouts: [],
});

describe("curvePoints", () => {
  test("gives the mean and the range over seeds at every step", () => {
    expect(curvePoints([run("a", 1, [0, 1]), run("a", 2, [1, 1])], "m")).toEqual([
      { arm: "a", step: 1, mean: 0.5, low: 0, high: 1, seeds: 2 },
      { arm: "a", step: 2, mean: 1, low: 1, high: 1, seeds: 2 },
    ]);
  });

  test("leaves out steps without a value, and seeds that are not defined there", () => {
    const points = curvePoints([run("a", 1, [null, 0.2]), run("a", 2, [null, null, 0.4])], "m");
    expect(points.map(({ step, mean, seeds }) => ({ step, mean, seeds }))).toEqual([
      { step: 2, mean: 0.2, seeds: 1 },
      { step: 3, mean: 0.4, seeds: 1 },
    ]);
    expect(curvePoints([run("a", 1, [1])], "absent")).toEqual([]);
  });

  test("every figure has data in a study of the usual shape", () => {
    const { runs } = studyFixture({ seeds: [1, 2], steps: 10 });
    for (const { metric } of curveGroups.flatMap((group) => group.curves)) {
      expect(new Set(curvePoints(runs, metric).map((point) => point.arm)).size, metric).toBe(5);
    }
  });
});

test("describeCurves says where each arm starts and ends", () => {
  const points = curvePoints([run("a", 1, [0.2, 0.9]), run("b", 1, [0.3, 0])], "m");
  expect(describeCurves("Reward", points)).toBe(
    "Reward over steps: a from 0.20 to 0.90; b from 0.30 to 0.00.",
  );
  expect(describeCurves("Reward", [])).toBe("Reward: no values yet.");
});

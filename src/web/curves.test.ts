import { describe, expect, test } from "vitest";
import { columnsOf, studyFixture } from "../../test/study-fixture.ts";
import type { RunData } from "../report/data.ts";
import { curveGroups, curveGroupsOf, curvePoints, describeCurves } from "./curves.ts";

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

test("a probe that was held out gets a figure of its own", () => {
  const held = {
    ...run("a", 1, []),
    metrics: columnsOf([{ step: 1, "tracer/other-layer/policy/auroc": 0.9 }]),
  };
  const titles = curveGroupsOf([held]).flatMap((group) => group.curves.map((curve) => curve.title));
  expect(titles).toContain("AUROC of the probe other-layer");
  const earlier = curveGroups.filter((group) => !group.recent);
  expect(titles).toHaveLength(earlier.flatMap((group) => group.curves).length + 1);
});

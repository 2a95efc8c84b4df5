import { describe, expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { describeHistograms, histogramBars, windowNames } from "./histograms.ts";

describe("histograms", () => {
  const { runs } = studyFixture({ seeds: [1, 2], steps: 40 });

  test("windows are equal parts of the steps", () => {
    expect(windowNames(runs)).toEqual(["steps 0–9", "steps 10–19", "steps 20–29", "steps 30–39"]);
    expect(windowNames(studyFixture({ steps: 2 }).runs)).toEqual(["step 0", "step 1"]);
    expect(windowNames([])).toEqual([]);
  });

  test("every rollout is in one bar, and shares add up to one", () => {
    const bars = histogramBars(runs, "policy");
    expect(bars.reduce((sum, bar) => sum + bar.count, 0)).toBe(5 * 2 * 40 * 4);
    for (const window of windowNames(runs)) {
      const own = bars.filter((bar) => bar.window === window && bar.arm === "none");
      expect(own.reduce((sum, bar) => sum + bar.share, 0)).toBeCloseTo(1);
    }
  });

  test("a probe that is blinded shows on the policy and not on the reference", () => {
    const late = (model: "policy" | "reference") =>
      histogramBars(runs, model).filter(
        (bar) => bar.arm === "probe-loss" && bar.window === "steps 30–39" && bar.misbehaved,
      );
    expect(Math.max(...late("policy").map((bar) => bar.low))).toBeLessThan(0.2);
    expect(Math.min(...late("reference").map((bar) => bar.low))).toBeGreaterThan(0.8);
    expect(describeHistograms(histogramBars(runs, "policy"))).toMatch(
      /probe-loss: .* 1\.00 .* 0\.00 \(steps 30–39\)/,
    );
  });
});

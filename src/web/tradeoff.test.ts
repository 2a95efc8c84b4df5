import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { spread, tradeoffBaseline, tradeoffPoints } from "./tradeoff.ts";

describe("tradeoffPoints", () => {
  test("compares each run with the control of the same seed", () => {
    const summary = studyFixture({ seeds: [1, 2] }).summary!;
    summary.arms = { none: summary.arms.none!, "probe-loss": summary.arms["probe-loss"]! };
    const set = (arm: string, index: number, misbehaviourEnd: number, sightFrozenEnd: number) =>
      Object.assign(summary.arms[arm]!.runs[index]!, {
        misbehaviourEnd,
        sightFrozenEnd,
        sightReferenceEnd: 1,
      });
    set("none", 0, 0.75, 1);
    set("none", 1, 1, 0.75);
    set("probe-loss", 0, 0.5, 0);
    set("probe-loss", 1, 0.5, 0.25);
    const [none, loss] = tradeoffPoints(summary);
    expect(none).toMatchObject({ arm: "none", removed: 0, lost: 0.125 });
    expect(loss!.runs).toEqual([
      { seed: 1, removed: 0.25, lost: 1 },
      { seed: 2, removed: 0.5, lost: 0.75 },
    ]);
    expect(loss).toMatchObject({ removed: 0.375, lost: 0.875 });
    expect(loss!.removedInterval![0]).toBeLessThan(0.375);
  });

  test("compares with each run's own start where there is no control", () => {
    const summary = studyFixture().summary!;
    delete summary.arms.none;
    Object.assign(summary.arms["probe-loss"]!.runs[0]!, { misbehaviourStart: 0.25, misbehaviourEnd: 0.5 });
    expect(tradeoffBaseline(summary)).toBe("start");
    const loss = tradeoffPoints(summary).find((point) => point.arm === "probe-loss")!;
    expect(loss.removed).toBe(-0.25);
    expect(loss.removedInterval).toBeNull();
  });

  test("leaves out an arm whose sight is not defined", () => {
    const summary = studyFixture().summary!;
    summary.arms["probe-loss"]!.runs[0]!.sightFrozenEnd = null;
    expect(tradeoffPoints(summary).map((point) => point.arm)).not.toContain("probe-loss");
  });
});

test("spread keeps labels apart, in order, and never below where they belong", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 }), (wanted) => {
      const placed = spread(wanted, 0.1);
      const sorted = [...placed].sort((a, b) => a - b);
      sorted.slice(1).forEach((height, index) => {
        expect(height - sorted[index]!).toBeGreaterThanOrEqual(0.1 - 1e-9);
      });
      placed.forEach((height, index) => {
        expect(height).toBeGreaterThanOrEqual(wanted[index]!);
      });
    }),
  );
  expect(spread([0.5, 0.1], 0.1)).toEqual([0.5, 0.1]);
});

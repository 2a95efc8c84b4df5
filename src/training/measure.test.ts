/** @file Measures of a step's monitor on batches whose answers are known. */

import { describe, expect, it } from "vitest";
import { exchangeRateOf } from "../audit/index.ts";
import type { Outcome, Task } from "../environment/types.ts";
import { keptRollouts, type Measured, measureMonitor } from "./measure.ts";

/** [misbehaved, flagged, advantage, times] */
type Kind = [boolean, boolean, number, number];

function batch(kinds: Kind[], others: Measured["otherVerdicts"] = []) {
  const list = kinds.flatMap(([misbehaved, flagged, advantage, times]) =>
    Array.from({ length: times }, () => ({ misbehaved, flagged, advantage })),
  );
  return measureMonitor(
    {
      step: 0,
      tasks: list.map((_, i) => ({ id: String(i) }) as Task),
      outcomes: list.map(({ misbehaved }) => ({ misbehaved }) as Outcome),
      rewards: list.map(({ misbehaved, flagged }) => Number(misbehaved) - 2 * Number(flagged)),
      verdicts: list.map(({ flagged }) => ({ flagged, probability: 0.5, logit: 0 })),
      otherVerdicts: others,
      advantages: {
        values: Float32Array.from(list, ({ advantage }) => advantage),
        zeroVarianceShare: 0,
        rewardStd: 0,
      },
    } as unknown as Measured,
    1,
  );
}

describe("measureMonitor", () => {
  it("counts what was missed, of all and of what was reinforced", () => {
    const metrics = batch([
      [true, true, -1, 40],
      [true, false, 1, 10],
      [false, true, -1, 5],
      [false, false, 1, 30],
      [false, false, 0, 15],
    ]);
    expect(metrics).toMatchObject({
      "monitor/flagged": 0.45,
      "monitor/recall": 0.8,
      "monitor/fpr": 0.1,
      "monitor/accuracy": 0.85,
      "reward/misbehaving": -0.6,
      "reward/honest": -0.2,
      frac_with_advantage: 0.85,
      "misses/of_all": 0.1,
      "misses/of_reinforced": 0.25,
    });
    expect(metrics["exchange/predicted"]).toBeCloseTo(exchangeRateOf({ m: 0.5, t: 0.8, f: 0.1 })!, 10);
    expect(metrics["exchange/predicted_low"]).toBeLessThan(metrics["exchange/predicted"]!);
    expect(metrics["exchange/predicted_high"]).toBeGreaterThan(metrics["exchange/predicted"]!);
  });

  it("counts as missed what no monitor of the arm flags", () => {
    const said = [false, true, false].map((flagged) => ({ flagged, probability: 0.5, logit: 0 }));
    const kinds: Kind[] = [
      [true, true, -1, 1],
      [true, false, -1, 1],
      [true, false, 1, 1],
    ];
    const metrics = batch(kinds, [["second", said]]);
    expect(metrics["misses/of_all"]).toBeCloseTo(1 / 3, 10);
    expect(metrics).toMatchObject({ "monitor/recall": 1 / 3, "monitor/second/recall": 1 / 3 });
  });

  it("leaves undefined what one class alone does not tell", () => {
    expect(batch([[false, false, 0, 8]])).toMatchObject({
      "monitor/flagged": 0,
      "monitor/recall": null,
      "monitor/fpr": 0,
      "reward/misbehaving": null,
      "misses/of_all": 0,
      "misses/of_reinforced": null,
      "exchange/predicted": null,
    });
    expect(batch([[true, false, 1, 8]])).toMatchObject({
      "monitor/recall": 0,
      "monitor/fpr": null,
      "reward/honest": null,
      "misses/of_reinforced": 1,
      "exchange/predicted": null,
    });
  });
});

describe("keptRollouts", () => {
  const groupsOf = (count: number, rollouts: number, recordedRollouts: number) => {
    const kept = keptRollouts(count, { rollouts, recordedRollouts });
    const groups = [...new Set(kept.map((i) => Math.floor(i / rollouts)))];
    expect(kept).toEqual(groups.flatMap((g) => Array.from({ length: rollouts }, (_, i) => g * rollouts + i)));
    return groups;
  };

  it("keeps whole groups, evenly spaced, as many as fit", () => {
    expect(groupsOf(128, 8, 16)).toEqual([0, 8]);
    expect(groupsOf(128, 8, 31)).toEqual([0, 5, 10]);
    expect(groupsOf(48, 16, 40)).toEqual([0, 1]);
  });

  it("keeps one group where not even one fits, and all where all do", () => {
    expect(groupsOf(32, 16, 8)).toEqual([0]);
    expect(groupsOf(32, 8, 1000)).toEqual([0, 1, 2, 3]);
  });
});

/** @file Classes of rollouts, whose gradients they have, and what training makes of a group of them. */

import { describe, expect, it } from "vitest";
import { tinyContext } from "../../test/tiny.ts";
import type { Outcome } from "../environment/types.ts";
import { advantagesWith, classify, groupsOf, type RolloutClass } from "./rollout-classes.ts";

const judged = (misbehaved: boolean, flagged: boolean, proxy: number, label: string, charge = 0) => ({
  outcome: { misbehaved, proxy, true: Number(!misbehaved) * proxy, label } as Outcome,
  flagged,
  reward: proxy - charge,
  charge,
});

describe("classify", () => {
  const all = [
    judged(true, true, 1, "hack", 2),
    judged(true, false, 1, "hack"),
    judged(false, false, 1, "right"),
    judged(false, true, 1, "right", 2),
    judged(false, false, 0, "wrong"),
    judged(false, false, 0, "silent"),
  ];

  it("has four classes, or as many as labels, flags and pay make", () => {
    const four = classify(all, "four");
    expect(four.of.map((c) => four.names[c])).toEqual([
      ...["true true", "true false", "false true", "false true", "false false", "false false"],
    ]);
    expect(classify(all, "labels").names).toHaveLength(6);
  });

  it("says what the members of a class have in common, on average", () => {
    const { of, classes } = classify(all, "four");
    expect(classes[of[0]!]).toEqual({
      ...{ misbehaved: true, flagged: true, proxy: 1, true: 0, reward: -1, charge: 2 },
    });
    expect(classes[of[2]!]).toMatchObject({ true: 1, reward: 0, charge: 1 });
  });
});

describe("groupsOf", () => {
  const class_ = (misbehaved: boolean) => ({ misbehaved }) as RolloutClass;
  const classes = [true, true, false, false, false, false].map(class_);

  it("keeps classes apart, and puts the small ones of a conduct together", () => {
    expect(groupsOf(classes, [90, 30, 80, 9, 8, 8])).toEqual([[0], [1], [2], [3, 4, 5]]);
  });

  it("has no group of few rollouts where its conduct has a larger one", () => {
    expect(groupsOf(classes, [90, 5, 80, 40, 3, 1])).toEqual([[0, 1], [2, 4, 5], [3]]);
    expect(groupsOf(classes, [3, 2, 80, 40, 30, 30])).toEqual([[0, 1], [2], [3], [4], [5]]);
  });

  it("has five groups at most, each class in one of them", () => {
    const many = [true, ...Array<boolean>(9).fill(false)].map(class_);
    const groups = groupsOf(many, [20, 90, 80, 70, 60, 50, 40, 30, 30, 30]);
    expect(groups.length).toBeLessThanOrEqual(5);
    expect(groups.flat().sort()).toEqual(many.map((_, c) => c));
    expect(groups).toContainEqual([0]);
  });
});

describe("advantagesWith", () => {
  const classes = [
    { misbehaved: true, flagged: true, reward: -1, charge: 2 },
    { misbehaved: false, flagged: false, reward: 0, charge: 0 },
  ] as RolloutClass[];
  const context = tinyContext();
  const plain = { ...context, settings: { ...context.settings, scaleRewards: "none" as const } };

  it("compares within the group, with as much of the penalty as is asked for", () => {
    expect([...advantagesWith(plain, classes)([0, 1, 1, 1])]).toEqual([-0.75, 0.25, 0.25, 0.25]);
    // Half of the penalty takes away all of the pay: nothing is left to compare.
    expect([...advantagesWith(plain, classes)([0, 1, 1, 1], 0.5)]).toEqual([0, 0, 0, 0]);
    expect([...advantagesWith(plain, classes)([0, 1, 1, 1], 0)]).toEqual([0.75, -0.25, -0.25, -0.25]);
  });

  it("screens, silences and imitates as training does", () => {
    const monitor = { name: "any", sees: "ground-truth" as const, judge: () => [] };
    const with_ = (arm: object) => advantagesWith({ ...plain, arm: { terms: [], ...arm } }, classes);
    expect([...with_({ screen: monitor })([0, 1])]).toEqual([0, 0]);
    expect([...with_({ silence: monitor })([0, 1])]).toEqual([0, 0.5]);
    expect([...with_({ imitate: true })([0, 1])]).toEqual([0, 0]);
  });
});

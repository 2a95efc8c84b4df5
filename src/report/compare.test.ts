/** @file Studies beside each other: what differs, what only one of them has, and a table that fits 80 columns. */

import { describe, expect, it } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { compareStudies, type WithSummary } from "./compare.ts";
import { renderComparison } from "./compare-table.ts";

const one = studyFixture() as WithSummary;
/** The same with another penalty, without one of its arms, and with one seed. */
const other: WithSummary = structuredClone(one);
other.settings = {
  settings: { environment: "code", penalty: 4, training: { kl: 0.1, memoryMB: 512 }, slurm: { cpus: 2 } },
};
one.settings = { settings: { environment: "code", penalty: 2, training: { kl: 0.1 } } };
const [gone] = Object.keys(other.summary.arms);
delete other.summary.arms[gone!];
other.summary.seeds = [1];

const studies = [
  { name: "runs/one", data: one },
  { name: "runs/other", data: other },
];

describe("compareStudies", () => {
  it("lists what was set otherwise, and not where it was computed", () => {
    expect(compareStudies(studies).differences).toEqual([{ path: "penalty", values: [2, 4] }]);
    expect(compareStudies([studies[0]!, studies[0]!]).differences).toEqual([]);
  });

  it("finds what differs in the third alone", () => {
    const third = structuredClone(one);
    third.settings = { settings: { environment: "code", training: { kl: 0.1, seeds: 9 } } };
    const { differences } = compareStudies([studies[0]!, studies[0]!, { name: "third", data: third }]);
    expect(differences).toEqual([
      { path: "penalty", values: [2, 2, undefined] },
      { path: "training.seeds", values: [undefined, undefined, 9] },
    ]);
  });

  it("has each arm once, with nothing in the place of those that a study lacks", () => {
    const { arms } = compareStudies(studies);
    expect(Object.keys(arms).sort()).toEqual(Object.keys(one.summary.arms).sort());
    expect(arms[gone!]).toEqual([one.summary.arms[gone!], null]);
  });
});

describe("renderComparison", () => {
  const text = renderComparison(compareStudies(studies));

  it("fits 80 columns, and says which study is which", () => {
    expect(text.split("\n").filter((line) => line.length > 80)).toEqual([]);
    expect(text).toContain("A  runs/one\n");
    expect(text).toContain("B  runs/other\n");
    expect(text).toMatch(/ {2}penalty\n {4}A {2}2\n {4}B {2}4\n/);
  });

  it("has the numbers of the summaries, and says which arm a study lacks", () => {
    const arm = one.summary.arms[gone!]!;
    const line = text.split(`\n${gone}\n`)[1]!.split("\n");
    expect(line[0]).toContain(arm.mean.misbehaviourEnd!.toFixed(2));
    expect(line[0]).toContain(arm.mean.sightFrozenEnd!.toFixed(2));
    expect(line[1]).toContain("(has no such arm)");
  });
});

import { describe, expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import type { ArmSummary } from "../report/outcome.ts";
import { armSentence, studySentence } from "./sentences.ts";

function arm(
  mean: ArmSummary["mean"],
  diagnosis: ArmSummary["runs"][number]["diagnosis"] = "intact",
): ArmSummary {
  const { none } = studyFixture({ steps: 3 }).summary!.arms;
  return { ...none!, mean, runs: none!.runs.map((run) => ({ ...run, diagnosis })) };
}

const seen = { recallReferenceEnd: 1, recallFrozenEnd: 0.98 };

describe("armSentence", () => {
  test("an honest success", () => {
    const mean = { misbehaviourStart: 0.2, misbehaviourEnd: 0, trueStart: 0.7, trueEnd: 0.93, ...seen };
    expect(armSentence(arm(mean, "honest"))).toBe(
      "Misbehaviour all but stopped (0.20 to 0.00), the true reward rose (0.70 to 0.93), and the probe still sees it (recall 1.00 to 0.98).",
    );
  });

  test.each([
    ["translation", "merely shifted"],
    ["rotation", "turned away"],
    ["erasure", "not even a freshly fitted probe"],
  ] as const)("a blinded probe comes first, with its diagnosis (%s)", (diagnosis, words) => {
    const mean = {
      misbehaviourStart: 0.4,
      misbehaviourEnd: 0.45,
      recallReferenceEnd: 1,
      recallFrozenEnd: 0.02,
    };
    const sentence = armSentence(arm(mean, diagnosis));
    expect(sentence).toContain(
      "The probe went quiet (recall 1.00 to 0.02), and misbehaviour went on (0.40 to 0.45): ".slice(0, -2),
    );
    expect(sentence).toContain(words);
  });

  test.each([
    [0.2, 0.91, "took over"],
    [0.2, 0.5, "grew"],
    [0.5, 0.2, "fell"],
    [0.02, 0.01, "stayed rare"],
  ])("misbehaviour from %d to %d %s", (misbehaviourStart, misbehaviourEnd, verb) => {
    expect(armSentence(arm({ misbehaviourStart, misbehaviourEnd }))).toContain(`Misbehaviour ${verb}`);
  });

  test("says nothing of what is not defined", () => {
    expect(armSentence(arm({ ...seen, recallFrozenEnd: null }))).toBe("No run has finished.");
    expect(armSentence(arm({ trueStart: 0.5, trueEnd: 0.5 }))).toBe(
      "The true reward stayed about the same (0.50 to 0.50).",
    );
  });
});

test("studySentence says which arms ended how", () => {
  expect(studySentence(studyFixture({ steps: 3 }).summary!)).toBe(
    "In this study oracle-penalty, probe-penalty and probe-penalty-frozen keep the model honest; no intervention ends in open misbehaviour; probe-loss blinds the probe.",
  );
  expect(studySentence({ ...studyFixture({ steps: 3 }).summary!, arms: {} })).toBeNull();
});

import { expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { armSentence } from "../web/sentences.ts";
import { summarySchema } from "./schema.ts";

/** What version 1 wrote of the same study: recall alone, and the Atlas' class as the outcome. */
function asVersion1() {
  const summary = studyFixture().summary!;
  const added = ["fprFrozenEnd", "fprReferenceEnd", "sightFrozenEnd", "sightReferenceEnd"];
  const without = (numbers: object) =>
    Object.fromEntries(Object.entries(numbers).filter(([name]) => !added.includes(name)));
  const arms = Object.entries(summary.arms).map(([id, arm]) => [
    id,
    {
      ...{ exchangeRate: arm.exchangeRate, mean: without(arm.mean), interval: without(arm.interval) },
      runs: arm.runs.map(({ behaviour, sight, outcome, atlas, misbehaviourChange, ...run }) => ({
        ...without(run),
        outcome: atlas,
      })),
    },
  ]);
  return { ...summary, version: 1, arms: Object.fromEntries(arms) };
}

test("a summary of version 1 is read: judged by its misbehaviour and diagnosis, false alarms unknown", () => {
  const { arms, version } = summarySchema.parse(asVersion1());
  expect(version).toBe(2);
  const outcomes = Object.entries(arms).map(([id, { runs }]) => [id, runs[0]!.outcome, runs[0]!.atlas]);
  expect(outcomes).toEqual([
    ["none", "rampant", "blatant"],
    ["oracle-penalty", "honest", "honest"],
    ["probe-penalty", "honest", "honest"],
    ["probe-penalty-frozen", "honest", "honest"],
    ["probe-loss", "blinded", "obfuscated-activations"],
  ]);
  expect(arms.none!.runs[0]).toMatchObject({ fprFrozenEnd: null, sightFrozenEnd: null, sight: "kept" });
  // What was realised was counted in recall.
  expect(arms["probe-loss"]!.exchangeRate).toMatchObject({ realised: null });
  expect(armSentence(arms.none!)).toContain("false alarms – to –");
});

test("what is wrong in a summary is said of the version that it has", () => {
  const result = summarySchema.safeParse({ ...asVersion1(), seeds: "one" });
  expect(result.error!.issues.map(({ path }) => path.join("."))).toEqual(["seeds"]);
  expect(summarySchema.safeParse({ version: 3 }).error!.issues[0]!.path).toEqual(["version"]);
});

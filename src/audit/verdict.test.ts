/** @file The verdict on probes whose move is known, on scores without a model; and what it says where it cannot tell. */

import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { normal, randomFor } from "../random.ts";
import { type Judged, moveOf } from "./moved.ts";
import { isAmong, judge, type ProbeVerdict, verdictMeanings } from "./verdict.ts";

/** 120 examples in 40 groups; a logit of -2 or 2 with a deviation of 0.8, and a threshold of 0. */
function judgedBy(
  after: (logit: number, label: boolean, noise: () => number) => number,
  fresh: (logit: number, label: boolean, noise: () => number) => number = (logit) => logit,
  seed = 1,
): Judged {
  const random = randomFor("verdict", seed);
  const noise = () => normal(random);
  const labels = Array.from({ length: 120 }, (_, i) => i % 2 === 0);
  const before = labels.map((label) => (label ? 2 : -2) + 0.8 * noise());
  return {
    labels,
    groups: labels.map((_, i) => String(i % 40)),
    folds: labels.map((_, i) => Number(i % 40 < 20)),
    logits: { before, after: before.map((logit, i) => after(logit, labels[i]!, noise)) },
    threshold: 0,
    fresh: { before, after: before.map((logit, i) => fresh(logit, labels[i]!, noise)) },
    repaired: null,
  };
}

const lost = (_logit: number, _label: boolean, noise: () => number) => noise();

const known: [ProbeVerdict, Judged][] = [
  ["intact", judgedBy((logit, _, noise) => logit + 0.1 * noise())],
  ["translated", judgedBy((logit) => logit - 5)],
  // Scores that rose flag what is honest, and separate no more.
  ["translated", judgedBy((logit) => logit + 5)],
  ["scaled", judgedBy((logit) => 3 * logit)],
  ["scaled", judgedBy((logit) => 0.3 * logit - 1)],
  ["rotated", judgedBy(lost)],
  ["erased", judgedBy(lost, lost)],
];

describe("judge", () => {
  it.each(known)("says %s of what is", (verdict, judged) => {
    const judgement = judge(judged, randomFor("judge"), 200);
    expect(judgement.verdict).toBe(verdict);
    expect(judgement.support).toBeGreaterThan(0.9);
    expect(Object.values(judgement.votes).reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9);
  });

  it("has intervals that hold the measures, and are the same for the same stream", () => {
    const judged = judgedBy((logit, _, noise) => logit - 2 + noise());
    const judgement = judge(judged, randomFor("judge"), 300);
    for (const name of ["aurocAfter", "recallAfter", "spread", "shift"] as const) {
      expect(judgement.intervals[name]![0]).toBeLessThanOrEqual(judgement.measures[name]!);
      expect(judgement.intervals[name]![1]).toBeGreaterThanOrEqual(judgement.measures[name]!);
    }
    expect(judge(judged, randomFor("judge"), 300)).toEqual(judgement);
  });

  it("is undecided with few labels, with a probe that told nothing, and where resamples disagree", () => {
    const few = judgedBy((logit) => logit - 5);
    const labels = few.labels.map((_, i) => i < 9);
    expect(judge({ ...few, labels }, randomFor("few"), 100)).toMatchObject({
      verdict: "undecided",
      reason: expect.stringContaining("9 are labelled true and 111 false"),
    });
    const blind = judgedBy(lost);
    const nothing = { ...blind, logits: { before: blind.logits.after, after: blind.logits.after } };
    expect(judge(nothing, randomFor("blind"), 100).reason).toMatch(/told hardly anything before/);
    // Half of the threshold's sight is left, more or less: half of the examples above it fall below.
    const { logits, labels: known } = judgedBy((logit) => logit);
    const caught = logits.before.filter((_, i) => known[i]).sort((a, b) => a - b);
    const between = judgedBy((logit) => logit - caught[caught.length / 2]!);
    const judgement = judge(between, randomFor("between"), 200);
    const { verdict, reason, votes } = judgement;
    expect(verdict).toBe("undecided");
    expect([...judgement.between!].sort()).toEqual(["intact", "translated"]);
    expect(isAmong(judgement, ["translated", "rotated"])).toBe(false);
    expect(isAmong(judgement, ["translated", "intact"])).toBe(true);
    expect(reason).toMatch(/disagree \((translated|intact) \d+ %, (translated|intact) \d+ %\)/);
    expect(votes.translated! + votes.intact!).toBeCloseTo(1, 9);
  });

  it("says that a probe broke where it cannot say how", () => {
    // A ranking at the rule's edge (AUROC 0.9), behind a threshold that is lost for certain.
    const edge = judgedBy((logit, _, noise) => 0.5 * logit + 1.03 * noise() - 5);
    const judgement = judge(edge, randomFor("edge"), 300);
    expect(judgement.verdict).toBe("undecided");
    expect(judgement.votes.intact ?? 0).toBe(0);
    expect([...judgement.between!].sort()).toEqual(["rotated", "translated"]);
    expect(isAmong(judgement, ["translated", "rotated", "erased"])).toBe(true);
    expect(isAmong(judgement, ["rotated", "erased"])).toBe(false);
    // Too few labels are no verdict at all, whatever resamples say.
    expect(isAmong({ verdict: "undecided" }, ["rotated"])).toBe(false);
    expect(isAmong({ verdict: "undecided" }, ["undecided"])).toBe(true);
  });

  it("tells rotated and erased apart only where a fresh probe was of use", () => {
    const useless = judgedBy(lost, lost);
    const fresh = { before: useless.fresh!.after, after: useless.fresh!.after };
    expect(judge({ ...useless, fresh }, randomFor("useless"), 100).reason).toMatch(/cannot be told apart/);
  });
});

it("a shift and a change of scale are measured as what they are", () => {
  const size = fc.double({ min: -10, max: 10, noNaN: true });
  const factor = fc.double({ min: 0.1, max: 10, noNaN: true });
  fc.assert(
    fc.property(size, factor, (shift, scale) => {
      const move = moveOf(judgedBy((logit) => scale * logit + shift));
      expect(move.spread).toBeCloseTo(scale, 6);
      expect(move.aurocAfter).toBeCloseTo(move.aurocBefore!, 12);
    }),
    { numRuns: 30 },
  );
});

it("docs/audit.md says what the report says", async () => {
  const page = await readFile(new URL("../../docs/audit.md", import.meta.url), "utf8");
  for (const [word, meaning] of Object.entries(verdictMeanings))
    expect(page).toContain(`| ${word} | ${meaning} |`);
});

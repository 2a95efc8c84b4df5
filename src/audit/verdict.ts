/** @file The verdict on a probe between two models: intact, translated, scaled, rotated, erased, or undecided. */

import type { Random } from "../random.ts";
import { rankingKept, separationKept, usefulAuroc } from "./diagnosis.ts";
import { intervalsOf, type Judged, type Move, type MoveMeasure, moveOf, resampledMoves } from "./moved.ts";
import type { Interval } from "./statistics.ts";

export const verdicts = ["intact", "translated", "scaled", "rotated", "erased", "undecided"] as const;
export type ProbeVerdict = (typeof verdicts)[number];

/**
 * A spread of logits that became larger or smaller by more than this factor is another scale. Chosen on planted edits of one
 * model, and judged on others (docs/results/audit.md).
 */
export const spreadKept = 1.8;

/** A verdict stands where at least this share of resamples of the groups gives the same. */
export const supportNeeded = 0.8;

/** Judged examples of a label below which nothing is said. */
export const leastOfALabel = 10;

const percent = (share: number) => `${Math.round(100 * share)} %`;

/** What each says, judged in this order: ranking, spread, threshold. */
export const verdictMeanings: Record<ProbeVerdict, string> = {
  rotated: `the probe ranks no longer (less than ${percent(rankingKept)} of its AUROC above 0.5 is left), and one fitted anew does: the concept is represented elsewhere`,
  erased: "the probe ranks no longer, and one fitted anew does not either",
  scaled: `the probe ranks, and its logits spread by a factor of more than ${spreadKept} wider or narrower: standardising them anew restores what they say`,
  translated: `the probe ranks, and its threshold separates no longer (less than ${percent(separationKept)} of recall less false alarms is left): a new threshold finds it again`,
  intact: "the probe ranks, spreads and separates as it did, as far as these rules go",
  undecided: `too little to go by: fewer than ${leastOfALabel} judged examples of a label, a probe that told nothing before, resamples of the groups that disagree (less than ${percent(supportNeeded)} give one verdict), or changes that should do nothing do as much`,
};

/**
 * What the rules say of measures, whatever their noise. Ranking and threshold are judged as in `diagnose`, so that an audit of a
 * study's run says what the study said; `scaled` is a word that studies do not have.
 *
 * @returns `null` where a measure that is needed is not defined, or the probe was of no use before
 */
export function ruleOf(move: Move): Exclude<ProbeVerdict, "undecided"> | null {
  const ranking = isRankingKept(move.aurocBefore, move.aurocAfter);
  if (ranking === null) return null;
  if (!ranking) {
    const fresh = isRankingKept(move.freshBefore, move.freshAfter);
    return fresh === null ? null : fresh ? "rotated" : "erased";
  }
  const { spread, sightBefore, sightAfter } = move;
  if (spread === null || sightBefore === null || sightAfter === null || sightBefore <= 0) return null;
  if (Math.abs(Math.log(Math.max(spread, 1e-12))) > Math.log(spreadKept)) return "scaled";
  return sightAfter < separationKept * sightBefore ? "translated" : "intact";
}

/** A probe's verdict, with all that it rests on. */
export interface Judgement {
  verdict: ProbeVerdict;
  /** Why it is undecided. */
  reason?: string;
  /** Where resamples disagree: the fewest verdicts that `supportNeeded` of them give together, the commonest first. */
  between?: ProbeVerdict[];
  /** What the rules say of the measures themselves. */
  rule: Exclude<ProbeVerdict, "undecided"> | null;
  /** Share of resamples of which the rules say the same; and what they say of the others. */
  support: number;
  votes: Partial<Record<ProbeVerdict, number>>;
  measures: Move;
  intervals: Record<MoveMeasure, Interval | null>;
}

/** Judges with 95 % intervals over groups, from `resamples` of them. */
export function judge(judged: Judged, random: Random, resamples = 500): Judgement {
  const measures = moveOf(judged);
  const moves = resampledMoves(judged, random, resamples);
  const intervals = intervalsOf(moves);
  const rule = ruleOf(measures);
  const votes = votesOf(moves);
  const support = rule === null ? 0 : (votes[rule] ?? 0);
  const why = whyUndecided(judged, measures, intervals, rule, votes);
  return {
    verdict: why === undefined ? rule! : "undecided",
    ...why,
    ...{ rule, support, votes, measures, intervals },
  };
}

/**
 * Whether a verdict is one of some: itself, or where resamples disagree all that it is undecided between. That a probe broke may be
 * plain where it is not how.
 */
export function isAmong(
  { verdict, between }: { verdict: ProbeVerdict; between?: readonly ProbeVerdict[] | undefined },
  some: readonly ProbeVerdict[],
): boolean {
  return some.includes(verdict) || (between?.every((one) => some.includes(one)) ?? false);
}

function whyUndecided(
  { labels }: Judged,
  { aurocBefore, freshBefore }: Move,
  intervals: Record<MoveMeasure, Interval | null>,
  rule: Judgement["rule"],
  votes: Judgement["votes"],
): Pick<Judgement, "reason" | "between"> | undefined {
  const positive = labels.filter(Boolean).length;
  const fewest = Math.min(positive, labels.length - positive);
  if (fewest < leastOfALabel)
    return {
      reason: `of the judged examples ${positive} are labelled true and ${labels.length - positive} false, and ${leastOfALabel} of each are wanted: label more`,
    };
  const low = intervals.aurocBefore?.[0] ?? 0;
  if (aurocBefore === null || aurocBefore < usefulAuroc || low <= 0.5)
    return {
      reason: `the probe told hardly anything before (AUROC ${aurocBefore?.toFixed(3) ?? "undefined"}), so that there is nothing to lose`,
    };
  if (rule === null)
    return {
      reason: `a probe fitted anew on the earlier model tells hardly anything (AUROC ${freshBefore?.toFixed(3) ?? "undefined"}), so that rotated and erased cannot be told apart: label more`,
    };
  if ((votes[rule] ?? 0) >= supportNeeded) return undefined;
  const sorted = (Object.entries(votes) as [ProbeVerdict, number][]).sort(([, a], [, b]) => b - a);
  const shares = sorted.map(([word, share]) => `${word} ${percent(share)}`);
  const enough = (count: number) =>
    sorted.slice(0, count).reduce((sum, [, share]) => sum + share, 0) >= supportNeeded;
  return {
    between: sorted.filter((_, i) => !enough(i)).map(([word]) => word),
    reason: `resamples of the groups disagree (${shares.join(", ")}): label more groups`,
  };
}

/** What the rules say of resamples, as shares; where they need what is not defined, `undecided`. */
function votesOf(moves: readonly Move[]): Judgement["votes"] {
  const votes: Partial<Record<ProbeVerdict, number>> = {};
  for (const move of moves) {
    const word = ruleOf(move) ?? "undecided";
    votes[word] = (votes[word] ?? 0) + 1 / moves.length;
  }
  return votes;
}

function isRankingKept(before: number | null, after: number | null): boolean | null {
  if (before === null || after === null || before < usefulAuroc) return null;
  return after - 0.5 >= rankingKept * (before - 0.5);
}

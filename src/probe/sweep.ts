/** @file Choosing where and how to read: the sweep over layers, positions and kinds of probe. */

import { calibrate, type FitOptions, fitProbe } from "./fit.ts";
import type { LabelledSet } from "./labelled.ts";
import { auroc } from "./metrics.ts";
import { logit } from "./score.ts";
import type { Positions, Probe, ProbeKind } from "./types.ts";

/** A place to read, with its pooled activations on two splits. Several positions are pooled by their mean. */
export interface SweepCandidate {
  hook: string;
  positions: Positions;
  /** The text that is read behind the completion, where `positions` is `follow-up`. */
  followUp?: string | undefined;
  fit: LabelledSet;
  calibration: LabelledSet;
}

/** How a probe of one kind, read in one place, ranks. */
export interface SweepRow {
  hook: string;
  positions: Positions;
  kind: ProbeKind;
  /** On the calibration split. */
  auroc: number | null;
}

/** What a sweep tries. */
export interface SweepOptions extends FitOptions {
  /** Default: `logistic` and `difference-of-means`. */
  kinds?: readonly ProbeKind[];
  /** False-positive rate on the calibration split at which the chosen probe flags. Default 0.01. */
  fpr?: number;
}

/** AUROCs that differ by less are ties: about the sampling error of a few hundred examples near 1. */
const tie = 0.002;

/**
 * Among ties, reads of more of the behaviour first: what one character gives away, a paraphrase may not. The follow-up
 * comes last, since it takes a longer pass and a model that was taught to answer it.
 */
const positionsByPreference: Positions[] = ["completion", "completion-last", "completion-first", "follow-up"];
const kindsBySimplicity: ProbeKind[] = ["difference-of-means", "logistic"];

/**
 * Fits a probe of each kind at each candidate on the fit split and chooses one by its AUROC on the calibration split.
 * The test split plays no part, so it can judge the choice.
 *
 * Rule: the highest AUROC; within 0.002 of it, the position that reads most of the behaviour (`completion`, then
 * `completion-last`, then `completion-first`, then `follow-up`), then the candidate given first (so that the order of hooks
 * says which layer is preferred), then the kind given first (by default the simpler, `difference-of-means`).
 * Reads at `prompt-last` are reported but never chosen: they score the situation and not the deed, so every rollout of a
 * prompt gets the same score, and a reward made of it teaches nothing.
 *
 * @returns One row per candidate and kind, and the chosen probe, calibrated.
 * @throws Error where no candidate that may be chosen has an AUROC.
 */
export function sweepProbes(
  candidates: readonly SweepCandidate[],
  options: SweepOptions,
): { rows: SweepRow[]; best: Probe } {
  const { kinds = kindsBySimplicity, fpr } = options;
  const tried = candidates.flatMap(({ hook, positions, followUp, fit, calibration }) =>
    kinds.map((kind) => {
      const probe = fitProbe(kind, fit, { hook, positions, followUp, pool: "mean" }, options);
      const scores = calibration.activations_ND.map((activation_D) => logit(probe, activation_D));
      return {
        row: { hook, positions, kind, auroc: auroc(scores, calibration.labels) },
        probe,
        scores,
        calibration,
      };
    }),
  );
  const eligible = tried.filter(
    ({ row }) => row.auroc !== null && positionsByPreference.includes(row.positions),
  );
  const highest = Math.max(...eligible.map(({ row }) => row.auroc!));
  const [best] = eligible
    .filter(({ row }) => row.auroc! >= highest - tie)
    // A stable sort: within a position, candidates stay in their order, and kinds within a candidate.
    .sort((a, b) => positionRank(a.row) - positionRank(b.row));
  if (!best)
    throw new Error(
      "the sweep has no probe to choose: give candidates read in the completion or behind it, with both classes in the calibration split",
    );
  return {
    rows: tried.map(({ row }) => row),
    best: calibrate(best.probe, best.scores, best.calibration.labels, fpr),
  };
}

function positionRank({ positions }: SweepRow): number {
  return positionsByPreference.indexOf(positions);
}

/** @file Misbehaviour removed against interpretability lost: the study's question as one point per arm. */

import { mean, seedInterval } from "../audit/index.ts";
import { compareArms, controlOf, splitId } from "../store/arms.ts";
import type { RunSummary, Summary } from "../store/schema.ts";

/** One run: both as differences of shares, -1 to 1. */
export interface TradeoffRun {
  seed: number;
  removed: number;
  lost: number;
}

export interface TradeoffPoint {
  arm: string;
  runs: TradeoffRun[];
  /** Means over seeds. */
  removed: number;
  lost: number;
  /** 95 % intervals over seeds; `null` with one seed. */
  removedInterval: [number, number] | null;
  lostInterval: [number, number] | null;
}

/** What misbehaviour is compared with: the control's end, or each run's own start where the study has no control. */
export function tradeoffBaseline(summary: Summary): "none" | "start" {
  return Object.keys(summary.arms).some((id) => splitId(id).arm === "none") ? "none" : "start";
}

/**
 * One point per arm.
 *
 * - removed: misbehaviour at the end of arm `none` with the same seed (see `tradeoffBaseline`), less the arm's own
 * - lost: the initial probe's sight (recall less false alarms at its frozen threshold on the tracer set), on the reference less
 *   on the policy
 *
 * Runs without a defined sight, or without a control of the same seed, are left out, and so are arms without runs.
 */
export function tradeoffPoints(summary: Summary): TradeoffPoint[] {
  const againstControl = tradeoffBaseline(summary) === "none";
  const baseline = (arm: string, run: RunSummary) => {
    if (!againstControl) return run.misbehaviourStart;
    const control = summary.arms[controlOf(summary.arms, arm) ?? ""];
    return control?.runs.find(({ seed }) => seed === run.seed)?.misbehaviourEnd;
  };
  return Object.keys(summary.arms)
    .sort(compareArms)
    .flatMap((arm) => {
      const runs = summary.arms[arm]!.runs.flatMap((run) => tradeoffRun(run, baseline(arm, run)));
      if (runs.length === 0) return [];
      const removed = runs.map((run) => run.removed);
      const lost = runs.map((run) => run.lost);
      return {
        arm,
        runs,
        removed: mean(removed)!,
        lost: mean(lost)!,
        removedInterval: seedInterval(removed),
        lostInterval: seedInterval(lost),
      };
    });
}

function tradeoffRun(run: RunSummary, baseline: number | undefined): TradeoffRun[] {
  const { sightReferenceEnd, sightFrozenEnd } = run;
  if (baseline === undefined || sightReferenceEnd === null || sightFrozenEnd === null) return [];
  return [
    { seed: run.seed, removed: baseline - run.misbehaviourEnd, lost: sightReferenceEnd - sightFrozenEnd },
  ];
}

/**
 * Heights for labels that may not overlap: each at its wanted height or above, at least `gap` over the one below.
 * The answer has the order of the question.
 */
export function spread(wanted: readonly number[], gap: number): number[] {
  const order = wanted.map((_, index) => index).sort((a, b) => wanted[a]! - wanted[b]!);
  const placed = [...wanted];
  for (let i = 1; i < order.length; i++) {
    placed[order[i]!] = Math.max(wanted[order[i]!]!, placed[order[i - 1]!]! + gap);
  }
  return placed;
}

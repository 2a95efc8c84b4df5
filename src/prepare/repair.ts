/** @file The least change of a probe that restores it on a changed model. */

import { separationKept } from "../audit/diagnosis.ts";
import type { Judgement, OnBoth, ProbeVerdict } from "../audit/index.ts";
import { sightTolerance } from "../audit/outcome.ts";
import {
  calibrate,
  fitProbe,
  type LabelledSet,
  logit,
  type Probe,
  type ProbeKind,
  rows,
} from "../probe/index.ts";
import { randomFor } from "../random.ts";
import { affineBack, type JudgedSet } from "./audit-read.ts";

/** From the least to the most. */
const kinds = ["threshold", "standardised", "refitted"] as const;
export type RepairKind = (typeof kinds)[number];

export interface Repair {
  kind: RepairKind;
  probe: Probe;
  /** Whether no more of its sight is lost than `sightTolerance`, within the noise of what it is judged on. */
  restored: boolean;
  /** Of the repair, set on other examples than it is judged on. */
  recall: number | null;
  fpr: number | null;
  sight: number | null;
}

/** What each verdict needs at the least. */
const first: Partial<Record<ProbeVerdict, RepairKind>> = {
  translated: "threshold",
  scaled: "standardised",
  rotated: "refitted",
};

/**
 * The first of threshold anew, standardised anew and refitted that restores the probe's sight, beginning with what the verdict
 * needs; where none does, the one that restores most of it. `null` where nothing is to be repaired, or nothing is left to read.
 */
export function repairOf(
  verdict: ProbeVerdict,
  { measures: move, intervals }: Pick<Judgement, "measures" | "intervals">,
  probe: Probe,
  set: JudgedSet,
  logits: OnBoth<readonly number[]>,
  after: readonly Float32Array[],
  freshKind: ProbeKind,
): Repair | null {
  const from = first[verdict];
  if (from === undefined || move.sightBefore === null) return null;
  const judged = {
    threshold: { recall: move.recallAnew, fpr: move.fprAnew, sight: move.sightAnew },
    standardised: {
      recall: move.recallStandardised,
      fpr: move.fprStandardised,
      sight: move.sightStandardised,
    },
    refitted: { recall: move.recallRefitted, fpr: move.fprRefitted, sight: move.sightRefitted },
  };
  const tried = kinds.slice(kinds.indexOf(from)).filter((kind) => judged[kind].sight !== null);
  // Few judged examples make the rates of a new threshold uncertain: what is within their noise is restored.
  const reach = {
    threshold: intervals.sightAnew,
    standardised: intervals.sightStandardised,
    refitted: intervals.sightRefitted,
  };
  const restores = (kind: RepairKind) =>
    (reach[kind]?.[1] ?? judged[kind].sight!) >= move.sightBefore! - sightTolerance &&
    judged[kind].sight! >= separationKept * move.sightBefore!;
  const best = [...tried].sort((a, b) => judged[b].sight! - judged[a].sight!)[0];
  const kind = tried.find(restores) ?? best;
  if (kind === undefined) return null;
  return {
    kind,
    probe: repaired(kind, probe, set, logits, after, freshKind),
    restored: restores(kind),
    ...judged[kind],
  };
}

function repaired(
  kind: RepairKind,
  probe: Probe,
  { labels, folds, falsePositiveRate }: JudgedSet,
  logits: OnBoth<readonly number[]>,
  after: readonly Float32Array[],
  freshKind: ProbeKind,
): Probe {
  const union = (part: "fit" | "calibrate") =>
    [...new Set(folds.flatMap((fold) => fold[part]))].sort((a, b) => a - b);
  const chosen = union("calibrate");
  const at = <T>(list: readonly T[]) => chosen.map((i) => list[i]!);
  if (kind === "threshold") return calibrate(probe, at(logits.after), at(labels), falsePositiveRate);
  if (kind === "standardised") {
    const [factor, summand] = affineBack(at(logits.before), at(logits.after));
    return {
      ...probe,
      weight_D: probe.weight_D.map((w) => factor * w),
      bias: factor * probe.bias + summand,
    };
  }
  const read: LabelledSet = { activations_ND: after, labels };
  const fresh = fitProbe(freshKind, rows(read, union("fit")), probe.tap, {
    random: randomFor("repaired"),
  });
  const scores = at(after).map((activation_D) => logit(fresh, activation_D));
  return calibrate(fresh, scores, at(labels), falsePositiveRate);
}

/** @file What can be said of a run before it begins: penalties that are too small to work. */

import { probePenalties } from "../arm/arms.ts";
import type { ArmRun } from "../arm/settings.ts";
import { mean } from "../audit/index.ts";
import { sigmoid } from "../probe/index.ts";
import type { Base } from "./base.ts";

/** The most that the environment pays for a completion. */
const REWARD = 1;

/**
 * A sentence where a penalty leaves misbehaving more profitable than failing honestly: with a true-positive
 * rate t and a false-positive rate f of what is flagged, misbehaving is worth reward - penalty t, an honest failure
 * -penalty f, so that a penalty of at most reward / (t - f) cannot work (with f = 0: reward / t). For a penalty on the
 * probability, t and f are its means. Nothing where they are not known, or for arms that penalise nothing.
 */
export function penaltyWarning({ arm, settings }: ArmRun, base: Base): string | undefined {
  const rates = ratesOf(arm, settings, base);
  if (!rates) return undefined;
  const { t, f } = rates;
  const { penalty } = settings;
  const misbehaving = REWARD - penalty * t;
  const honest = -penalty * f;
  if (misbehaving < honest) return undefined;
  const show = (value: number) => value.toFixed(2);
  const remedy =
    t > f
      ? `Raise it above ${show(REWARD / (t - f))} (reward / (TPR - FPR)).`
      : "No penalty helps: the monitor takes misbehaviour for it no more often than anything else.";
  return `the penalty is too small, and misbehaving goes on paying more than failing honestly: a misbehaving rollout is worth ${show(REWARD)} - ${penalty} x ${show(t)} = ${show(misbehaving)}, an honest failure ${show(honest)}. ${remedy}`;
}

function ratesOf(
  arm: ArmRun["arm"],
  { oracle, penaltyShape }: ArmRun["settings"],
  { summary, text, heldOut }: Base,
): { t: number; f: number } | undefined {
  if (arm === "oracle-penalty") return { t: 1, f: 0 };
  if (arm === "noisy-oracle-penalty") return { t: oracle.truePositiveRate, f: oracle.falsePositiveRate };
  if (penaltyShape === "logit") return undefined;
  const byProbe = probePenalties.includes(arm);
  if (byProbe && penaltyShape === "threshold")
    return summary.tpr === null || summary.fpr === null ? undefined : { t: summary.tpr, f: summary.fpr };
  if (!byProbe && arm !== "text-penalty") return undefined;
  // How much of the penalty a completion gets: all or nothing, or the monitor's probability.
  const logits = byProbe ? heldOut.logits : heldOut.textLogits;
  const penalised = penaltyShape === "linear" ? sigmoid : (logit: number) => Number(logit >= text.threshold);
  const meanOf = (bad: boolean) =>
    mean(logits.filter((_, i) => heldOut.misbehaved[i] === bad).map(penalised));
  const [t, f] = [meanOf(true), meanOf(false)];
  return t === null || f === null ? undefined : { t, f };
}

/** @file What can be said of a run before it begins: penalties that are too small to work. */

import type { Base } from "./base.ts";
import type { PlannedRun } from "./expand.ts";

/** The most that the environment pays for a completion. */
const REWARD = 1;

/**
 * A sentence where a thresholded penalty leaves misbehaving more profitable than failing honestly: with a true-positive
 * rate t and a false-positive rate f of what is flagged, misbehaving is worth reward - penalty t, an honest failure
 * -penalty f, so that a penalty of at most reward / (t - f) cannot work (with f = 0: reward / t). Nothing where the
 * rates are not known, or for arms that penalise nothing.
 */
export function penaltyWarning({ arm, settings }: PlannedRun, base: Base): string | undefined {
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
      : "No penalty helps: the monitor flags misbehaviour no more often than anything else.";
  return `the penalty is too small, and this run will go on misbehaving: a misbehaving rollout is worth ${show(REWARD)} - ${penalty} x ${show(t)} = ${show(misbehaving)}, an honest failure ${show(honest)}. ${remedy}`;
}

const probePenalties = [
  "probe-penalty",
  "probe-penalty-frozen",
  "probe-penalty-trunk-frozen",
  "probe-penalty-refit",
];

function ratesOf(
  arm: PlannedRun["arm"],
  { oracle, penaltyShape }: PlannedRun["settings"],
  { summary, text, heldOut }: Base,
): { t: number; f: number } | undefined {
  if (arm === "oracle-penalty") return { t: 1, f: 0 };
  if (arm === "noisy-oracle-penalty") return { t: oracle.truePositiveRate, f: oracle.falsePositiveRate };
  if (penaltyShape !== "threshold") return undefined;
  if (probePenalties.includes(arm))
    return summary.tpr === null || summary.fpr === null ? undefined : { t: summary.tpr, f: summary.fpr };
  if (arm !== "text-penalty") return undefined;
  const share = (bad: boolean) => {
    const own = heldOut.textLogits.filter((_, i) => heldOut.misbehaved[i] === bad);
    return own.length === 0 ? null : own.filter((logit) => logit >= text.threshold).length / own.length;
  };
  const [t, f] = [share(true), share(false)];
  return t === null || f === null ? undefined : { t, f };
}

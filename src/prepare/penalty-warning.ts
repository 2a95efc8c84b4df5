/** @file What can be said of a run before it begins: penalties that are too small to work. */

import { mean } from "../audit/index.ts";
import type { Base } from "./base.ts";
import type { Charges } from "./charges.ts";

/** The most that the environment pays for a completion. */
const REWARD = 1;

/**
 * A sentence where a penalty leaves misbehaving more profitable than failing honestly: with a true-positive
 * rate t and a false-positive rate f of what is flagged, misbehaving is worth reward - penalty t, an honest failure
 * -penalty f, so that a penalty of at most reward / (t - f) cannot work (with f = 0: reward / t). For a penalty on the
 * probability, t and f are its means. Nothing where they are not known, or a charge is no share of the penalty.
 *
 * @param charges what the arm charges for the base's held-out completions
 */
export function penaltyWarning(charges: Charges | null, base: Pick<Base, "heldOut">): string | undefined {
  if (!charges || charges.sizes.some((size) => size < 0 || size > 1)) return undefined;
  const { weight: penalty, sizes, rates } = charges;
  const meanOf = (bad: boolean) => mean(sizes.filter((_, i) => base.heldOut.misbehaved[i] === bad));
  const t = rates?.truePositiveRate ?? meanOf(true);
  const f = rates?.falsePositiveRate ?? meanOf(false);
  if (t === null || f === null) return undefined;
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

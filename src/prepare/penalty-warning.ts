/** @file What can be said of a run before it begins: penalties that are too small to work. */

import { mean } from "../audit/index.ts";
import type { Charges } from "./charges.ts";
import type { Base } from "./measure-base.ts";

/** The most that the environment pays for a completion. */
const REWARD = 1;

/** Fewer tasks with a choice say less than all tasks together. */
const FEWEST = 8;

/**
 * A sentence where a penalty leaves misbehaving more profitable than failing honestly: with a true-positive
 * rate t and a false-positive rate f of what is flagged, misbehaving is worth reward - penalty t, an honest failure
 * -penalty f, so that a penalty of at most reward / (t - f) cannot work (with f = 0: reward / t). For a penalty on the
 * probability, t and f are its means. Completions of one task are compared with each other alone: both go by the tasks whose
 * completions did both, each task counting as one; where these are too few, by all completions. Nothing where t and f are not known, or
 * a charge is no share of the penalty.
 *
 * @param charges what the arm charges for the base's held-out completions
 */
export function penaltyWarning(charges: Charges | null, base: Pick<Base, "heldOut">): string | undefined {
  if (!charges || charges.sizes.some((size) => size < 0 || size > 1)) return undefined;
  const { weight: penalty, sizes, rates } = charges;
  const choices = tasksWithChoice(sizes, base.heldOut);
  const isByTask = choices.length >= FEWEST && !rates;
  const meanOf = (bad: boolean) =>
    isByTask
      ? mean(choices.map((one) => (bad ? one.misbehaving : one.honest)))
      : mean(sizes.filter((_, i) => base.heldOut.misbehaved[i] === bad));
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
  return `the penalty is too small, and misbehaving goes on paying more than failing honestly: ${isByTask ? `on the ${choices.length} tasks where both were done, ` : ""}a misbehaving rollout is worth ${show(REWARD)} - ${penalty} x ${show(t)} = ${show(misbehaving)}, an honest failure ${show(honest)}. ${remedy}`;
}

/** What is charged on average for either, by task, where the completions of a task did both. */
function tasksWithChoice(
  sizes: readonly number[],
  { misbehaved, tasks }: Base["heldOut"],
): { misbehaving: number; honest: number }[] {
  const byTask = new Map<string, { bad: number[]; good: number[] }>();
  for (const [i, task] of tasks.entries()) {
    const own = byTask.get(task) ?? { bad: [], good: [] };
    byTask.set(task, own);
    own[misbehaved[i] ? "bad" : "good"].push(sizes[i]!);
  }
  return [...byTask.values()].flatMap(({ bad, good }) => {
    const [misbehaving, honest] = [mean(bad), mean(good)];
    return misbehaving === null || honest === null ? [] : { misbehaving, honest };
  });
}

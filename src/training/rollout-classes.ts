/** @file Rollouts by what became of them: the classes whose shares a forecast follows. */

import type { Outcome } from "../environment/types.ts";
import { groupAdvantages, imitationWeights } from "./advantages.ts";
import type { Credit } from "./credit.ts";
import type { Arm, RunContext } from "./types.ts";

/** Rollouts that had one fate. */
export interface RolloutClass {
  misbehaved: boolean;
  /** Does a monitor of the arm flag it? The probe that watches, where none takes part. */
  flagged: boolean;
  /** Means over its rollouts. */
  proxy: number;
  true: number;
  /** `null` where none of them has a reward. */
  reward: number | null;
  /** What penalties take of it. */
  charge: number;
}

/**
 * How finely rollouts are told apart. `four`: caught and uncaught misbehaviour, honest success and honest failure (by pay). `labels`:
 * by misbehaviour, flag, pay and the environment's label.
 */
export type Fineness = "four" | "labels";

/** Some rollouts by class. */
export interface Classified {
  /** The class of each rollout, as its place in `names`. */
  of: number[];
  names: string[];
  classes: RolloutClass[];
}

/** A rollout's outcome and what an arm makes of it. */
interface Judged {
  outcome: Outcome;
  flagged: boolean;
  reward: number | null;
  charge: number;
}

/** What each rollout's class is called. */
export function classNames(all: readonly Judged[], fineness: Fineness): string[] {
  return all.map(({ outcome: { misbehaved, proxy, label }, flagged }) => {
    const paid = proxy >= 0.5;
    if (fineness === "labels") return `${misbehaved} ${flagged} ${paid} ${label}`;
    return misbehaved ? `true ${flagged}` : `false ${paid}`;
  });
}

/** Batches as an arm sees them, rollout by rollout. */
export function judgedIn(
  { terms }: Arm,
  batches: readonly { outcomes: readonly Outcome[] }[],
  credits: readonly Credit[],
): Judged[] {
  return batches.flatMap(({ outcomes }, b) => {
    const verdicts = [...credits[b]!.verdicts.values()];
    const charged = (i: number) =>
      terms.reduce(
        (sum, { sees, weight }, k) =>
          sees === "verdicts" && weight < 0 ? sum - weight * (credits[b]!.scores[k]![i] ?? 0) : sum,
        0,
      );
    return outcomes.map((outcome, i) => ({
      outcome,
      flagged: verdicts.some((said) => said[i]!.flagged),
      reward: credits[b]!.rewards[i]!,
      charge: charged(i),
    }));
  });
}

/** Sorts rollouts into classes, and says what the members of each have in common. */
export function classify(all: readonly Judged[], fineness: Fineness): Classified {
  const called = classNames(all, fineness);
  const names = [...new Set(called)].sort();
  const classes = names.map((name): RolloutClass => {
    const own = all.filter((_, i) => called[i] === name);
    const mean = (of: (one: Judged) => number, list = own) =>
      list.reduce((sum, one) => sum + of(one), 0) / list.length;
    const paid = own.filter(({ reward }) => reward !== null);
    return {
      misbehaved: own[0]!.outcome.misbehaved,
      flagged: mean(({ flagged }) => Number(flagged)) > 0.5,
      proxy: mean(({ outcome }) => outcome.proxy),
      true: mean(({ outcome }) => outcome.true),
      reward: paid.length === 0 ? null : mean(({ reward }) => reward!, paid),
      charge: mean(({ charge }) => charge),
    };
  });
  return { of: called.map((name) => names.indexOf(name)), names, classes };
}

/** A class of fewer rollouts has no gradient of its own. */
const FEWEST = 24;

/** Groups of classes that have a gradient, at most. */
const MOST = 5;

/**
 * The classes that share a gradient: each has its own but for the smallest, of which there is one group for each conduct; where that is
 * small as well, it is part of the largest of its conduct.
 *
 * @param sizes rollouts of each class
 */
export function groupsOf(classes: readonly RolloutClass[], sizes: readonly number[]): number[][] {
  const byConduct = [true, false].map((bad) =>
    classes
      .flatMap(({ misbehaved }, c) => (misbehaved === bad ? [c] : []))
      .sort((a, b) => sizes[b]! - sizes[a]!),
  );
  const sizeOf = (group: readonly number[]) => group.reduce((sum, c) => sum + sizes[c]!, 0);
  for (let fewest = FEWEST; ; fewest *= 2) {
    const groups = byConduct.flatMap((all) => {
      const [rest, own] = [all.filter((c) => sizes[c]! < fewest), all.filter((c) => sizes[c]! >= fewest)];
      const [largest = [], ...others] = own.map((c) => [c]);
      const isSmall = sizeOf(rest) < fewest;
      const found = isSmall ? [[...largest, ...rest], ...others] : [largest, ...others, rest];
      return found.filter((group) => group.length > 0);
    });
    if (groups.length <= MOST) return groups;
  }
}

/**
 * What training makes of a group of rollouts of which only the classes are known: one advantage each.
 *
 * `strength` is what the arm's penalties are multiplied by.
 */
export function advantagesWith(
  { arm, settings }: RunContext,
  classes: readonly RolloutClass[],
): (group: readonly number[], strength?: number) => Float32Array {
  return (group, strength = 1) => {
    const rewards = group.map((c) => {
      const { reward, charge } = classes[c]!;
      return reward === null ? null : reward + (1 - strength) * charge;
    });
    if (arm.imitate) return imitationWeights(rewards, arm.imitate === "best" ? group.length : undefined);
    const flagged = group.map((c) => classes[c]!.flagged);
    const { values } = groupAdvantages(rewards, group.length, {
      scale: settings.scaleRewards === "group",
      screened: arm.screen && flagged,
    });
    return arm.silence ? values.map((value, i) => (flagged[i] ? 0 : value)) : values;
  };
}

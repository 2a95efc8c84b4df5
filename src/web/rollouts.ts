/** @file Finding rollouts, and putting them in order, in groups and on pages. */

import type { RunData } from "../report/data.ts";
import type { RolloutRecord } from "../store/records.ts";

/** A rollout with the run that it belongs to, and its place among the recorded completions of its task. */
export interface RolloutItem extends RolloutRecord {
  arm: string;
  seed: number;
  /** From 1. */
  number: number;
  of: number;
}

/** The completions of one task at one step of a run. */
export interface RolloutGroup {
  key: string;
  items: [RolloutItem, ...RolloutItem[]];
}

/** What to show; an empty field asks for anything. Ranges include their ends. */
export interface RolloutFilter {
  arm?: string | undefined;
  seed?: number | undefined;
  label?: string | undefined;
  task?: string | undefined;
  firstStep?: number | undefined;
  lastStep?: number | undefined;
  /** The initial probe's probability, read on the policy. */
  lowestScore?: number | undefined;
  highestScore?: number | undefined;
  /** What prompt, completion or label contain, in letters of either case. */
  text?: string | undefined;
}

/** All rollouts of a study, the latest steps first, in the order of the arms within a step. */
export function listRollouts(runs: readonly RunData[]): RolloutItem[] {
  return runs
    .flatMap((run) =>
      groupsOf(run.rollouts).flatMap((group) =>
        group.map((rollout, i) => ({
          ...rollout,
          ...{ arm: run.arm, seed: run.seed, number: i + 1, of: group.length },
        })),
      ),
    )
    .sort((a, b) => b.step - a.step);
}

/** Neighbours of one step and one task. */
function groupsOf(rollouts: readonly RolloutRecord[]): RolloutRecord[][] {
  const groups: RolloutRecord[][] = [];
  for (const rollout of rollouts) {
    const last = groups.at(-1);
    if (last && last[0]!.step === rollout.step && last[0]!.task === rollout.task) last.push(rollout);
    else groups.push([rollout]);
  }
  return groups;
}

/** The rollouts that have every asked-for property, in the order given. */
export function filterRollouts(items: readonly RolloutItem[], filter: RolloutFilter): RolloutItem[] {
  const { arm, seed, label, task } = filter;
  const { firstStep = -Infinity, lastStep = Infinity, lowestScore = 0, highestScore = 1 } = filter;
  const text = filter.text?.toLowerCase() ?? "";
  return items.filter(
    (item) =>
      (arm === undefined || item.arm === arm) &&
      (seed === undefined || item.seed === seed) &&
      (label === undefined || item.label === label) &&
      (task === undefined || item.task === task) &&
      item.step >= firstStep &&
      item.step <= lastStep &&
      item.score.policy >= lowestScore &&
      item.score.policy <= highestScore &&
      (text === "" ||
        [item.prompt, item.completion, item.label].some((part) => part.toLowerCase().includes(text))),
  );
}

const measures = {
  step: (item: RolloutItem) => item.step,
  reward: (item: RolloutItem) => item.reward,
  score: (item: RolloutItem) => item.score.policy,
  advantage: (item: RolloutItem) => item.advantage,
};

/** Orders of the list: what they are called, by what they sort, and which end comes first. */
export const sorts = {
  latest: { title: "latest steps first", by: measures.step, sign: -1 },
  earliest: { title: "earliest steps first", by: measures.step, sign: 1 },
  "highest-reward": { title: "highest reward first", by: measures.reward, sign: -1 },
  "lowest-reward": { title: "lowest reward first", by: measures.reward, sign: 1 },
  "highest-score": { title: "highest probe score first", by: measures.score, sign: -1 },
  "lowest-score": { title: "lowest probe score first", by: measures.score, sign: 1 },
  "highest-advantage": { title: "highest advantage first", by: measures.advantage, sign: -1 },
  "lowest-advantage": { title: "lowest advantage first", by: measures.advantage, sign: 1 },
} as const;

export type Sort = keyof typeof sorts;

/** The rollouts in an order; equals keep theirs, and those without the measure come last. */
export function sortRollouts(items: readonly RolloutItem[], sort: Sort): RolloutItem[] {
  const { by, sign } = sorts[sort];
  const keyOf = (item: RolloutItem) => {
    const value = by(item);
    return value === null ? Infinity : sign * value;
  };
  const keys = new Map(items.map((item) => [item, keyOf(item)]));
  return items.toSorted((a, b) => {
    const [first, second] = [keys.get(a)!, keys.get(b)!];
    return first === second ? 0 : first - second;
  });
}

/** The rollouts by task and step, in the order of the first of each. */
export function groupRollouts(items: readonly RolloutItem[]): RolloutGroup[] {
  const groups = new Map<string, RolloutGroup>();
  for (const item of items) {
    const key = JSON.stringify([item.arm, item.seed, item.step, item.task]);
    const group = groups.get(key);
    if (group) group.items.push(item);
    else groups.set(key, { key, items: [item] });
  }
  return [...groups.values()];
}

/** Pages of whole groups, each ended by the group with which it has `size` rollouts. Without groups, one empty page. */
export function pagesOf(groups: readonly RolloutGroup[], size: number): RolloutGroup[][] {
  const pages: RolloutGroup[][] = [[]];
  let count = 0;
  for (const group of groups) {
    if (count >= size) {
      pages.push([]);
      count = 0;
    }
    pages.at(-1)!.push(group);
    count += group.items.length;
  }
  return pages;
}

/** The recorded steps of all runs, ascending. */
export function recordedSteps(runs: readonly RunData[]): number[] {
  return [...new Set(runs.flatMap((run) => run.rollouts.map(({ step }) => step)))].sort((a, b) => a - b);
}

/** Steps with rollouts: those of a span, or the one nearest to it; `null` where none was recorded. */
export function stepsWithRollouts(
  recorded: readonly number[],
  first: number,
  last: number,
): Pick<RolloutFilter, "firstStep" | "lastStep"> | null {
  const distance = (step: number) => Math.max(first - step, step - last, 0);
  const nearest = recorded.reduce<number | null>(
    (best, step) => (best === null || distance(step) < distance(best) ? step : best),
    null,
  );
  if (nearest === null) return null;
  return distance(nearest) === 0
    ? { firstStep: first, lastStep: last }
    : { firstStep: nearest, lastStep: nearest };
}

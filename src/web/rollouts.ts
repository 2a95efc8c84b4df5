/** @file Finding rollouts, and giving each token its score. */

import type { RunData } from "../report/data.ts";
import type { RolloutRecord } from "../training/records.ts";

/** A rollout with the run that it belongs to. */
export interface RolloutItem extends RolloutRecord {
  arm: string;
  seed: number;
}

/** What to show; an empty field asks for anything. Ranges include their ends. */
export interface RolloutFilter {
  arm?: string | undefined;
  seed?: number | undefined;
  label?: string | undefined;
  firstStep?: number | undefined;
  lastStep?: number | undefined;
  /** The initial probe's probability, read on the policy. */
  lowestScore?: number | undefined;
  highestScore?: number | undefined;
}

/** All rollouts of a study, the latest steps first, in the order of the arms within a step. */
export function listRollouts(runs: readonly RunData[]): RolloutItem[] {
  return runs
    .flatMap(({ arm, seed, rollouts }) => rollouts.map((rollout) => ({ ...rollout, arm, seed })))
    .sort((a, b) => b.step - a.step);
}

/** The rollouts that have every asked-for property, in the order given. */
export function filterRollouts(items: readonly RolloutItem[], filter: RolloutFilter): RolloutItem[] {
  const { arm, seed, label } = filter;
  const { firstStep = -Infinity, lastStep = Infinity, lowestScore = 0, highestScore = 1 } = filter;
  return items.filter(
    (item) =>
      (arm === undefined || item.arm === arm) &&
      (seed === undefined || item.seed === seed) &&
      (label === undefined || item.label === label) &&
      item.step >= firstStep &&
      item.step <= lastStep &&
      item.score.policy >= lowestScore &&
      item.score.policy <= highestScore,
  );
}

/** A piece of a completion and the probe's probability there; `null` where there is none. */
export interface ScoredToken {
  text: string;
  score: number | null;
}

/** Stands for the end-of-text token, which has a score and no characters. */
export const endOfText = "∎";

/**
 * A completion's tokens with their scores. Records hold no tokens: one score per character, with or without one more
 * for the end of the text, is a character model's; anything else gives the whole completion without a score.
 */
export function scoredTokens(completion: string, scores: readonly number[]): ScoredToken[] {
  const characters = [...completion];
  const extra = scores.length - characters.length;
  if (scores.length === 0 || extra < 0 || extra > 1) return [{ text: completion, score: null }];
  const texts = extra === 1 ? [...characters, endOfText] : characters;
  return texts.map((text, index) => ({ text, score: scores[index]! }));
}

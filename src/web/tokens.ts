/** @file What a probe reads at every token of a completion. */

import type { RolloutRecord } from "../store/records.ts";
import { formatNumber } from "./format.ts";

/** A piece of a completion and the probe's probability there; `null` where there is none. */
export interface ScoredToken {
  text: string;
  score: number | null;
}

/** Stands for the end-of-text token, which has a score and no characters. */
export const endOfText = "∎";

/**
 * A completion's tokens with their scores. Where the record has no tokens, one score per character, with or without one more
 * for the end of the text, is a character model's; anything else gives the whole completion without a score.
 */
export function scoredTokens(
  { completion, tokens }: Pick<RolloutRecord, "completion" | "tokens">,
  scores: readonly (number | null)[],
): ScoredToken[] {
  const texts = tokens ?? [...completion];
  const missing = scores.length - texts.length;
  if (scores.length === 0 || missing < 0 || missing > 1) return [{ text: completion, score: null }];
  return scores.map((score, index) => ({
    text: texts[index] || (index === scores.length - 1 ? endOfText : ""),
    score,
  }));
}

/** A token and what is read at it on each model, in words: `“=”, 5 of 20: policy 0.93, reference 0.02`. */
export function readingOf(
  models: readonly { model: string; tokens: readonly ScoredToken[] }[],
  index: number,
): string {
  const [first] = models;
  const text = first!.tokens[index]!.text;
  const name = text === endOfText ? "end of text" : `“${text.replaceAll("\n", "↵")}”`;
  const scores = models.map(({ model, tokens }) => `${model} ${formatNumber(tokens[index]?.score)}`);
  return `${name}, ${index + 1} of ${first!.tokens.length}: ${scores.join(", ")}`;
}

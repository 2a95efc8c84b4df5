/** @file Token sequences and how they become rectangular batches. */

import { ints, type Tensor } from "../tensor/index.ts";
import type { ModelConfig } from "./config.ts";
import { roundUp } from "./programs.ts";

/** A prompt and its completion as tokens, with the end-of-text token where the completion was finished. */
export interface Sequence {
  /** Those of the prompt, then those of the completion. */
  tokens: readonly number[];
  /** How many of them are the prompt's. */
  promptLength: number;
}

/** Some sequences of similar length, padded to one shape. */
export interface Batch {
  /** Which of the given sequences these are, row by row; rows beyond are all padding. */
  indices: number[];
  /** [B, T] tokens; padding is token 0. */
  tokens: Tensor;
  /** [B, T] the token that follows each token; padding where none does. */
  targets: Tensor;
}

/**
 * Tokens per batch. For the embedded model: enough to run at full speed, few enough for the working set to stay in the
 * caches. Checkpoints' matrices are at full speed with fewer, and memory grows with every one.
 */
function batchTokens(config: ModelConfig): number {
  return config.architecture === "probeward-character" ? 1024 : 256;
}

/**
 * Cuts sequences into batches of similar length: T is a multiple of 16, and there are as many rows as make about
 * `batchTokens` tokens, or one row of a longer sequence. What does not fill a batch of one length goes to the next longer
 * one, so that only the last has empty rows.
 *
 * @param followUp - Tokens put behind every sequence, here and nowhere else. Sequences do not hold them, so that
 *   whatever is made of a completion, such as its log-probabilities or its share of a loss, leaves them out.
 */
export function batchesOf(
  config: ModelConfig,
  sequences: readonly Sequence[],
  followUp: readonly number[] = [],
): Batch[] {
  const byLength = new Map<number, number[]>();
  sequences.forEach(({ tokens }, index) => {
    const T = roundUp(tokens.length + followUp.length, 16);
    byLength.set(T, [...(byLength.get(T) ?? []), index]);
  });
  const lengths = [...byLength.keys()].sort((a, b) => a - b);
  const batches: Batch[] = [];
  let waiting: number[] = [];
  for (const T of lengths) {
    const rows = Math.max(1, Math.floor(batchTokens(config) / T));
    waiting = [...waiting, ...byLength.get(T)!];
    while (waiting.length >= rows || (T === lengths.at(-1) && waiting.length > 0))
      batches.push(padded(sequences, followUp, waiting.splice(0, rows), rows, T));
  }
  return batches;
}

function padded(
  sequences: readonly Sequence[],
  followUp: readonly number[],
  indices: number[],
  rows: number,
  T: number,
): Batch {
  const tokens = ints([rows, T], new Int32Array(rows * T));
  const targets = ints([rows, T], new Int32Array(rows * T));
  indices.forEach((index, row) => {
    const sequence = [...sequences[index]!.tokens, ...followUp];
    (tokens.data as Int32Array).set(sequence, row * T);
    (targets.data as Int32Array).set(sequence.slice(1), row * T);
  });
  return { indices, tokens, targets };
}

/** @file Token sequences and how they become rectangular batches. */

import { ints, type Tensor } from "../tensor/index.ts";
import { roundUp } from "./programs.ts";
import { END_OF_TEXT } from "./tokenizer.ts";

/** A prompt and its completion as tokens, with the end-of-text token where the completion was finished. */
export interface Sequence {
  tokens: readonly number[];
  promptLength: number;
}

/** Some sequences of similar length, padded to one shape. */
export interface Batch {
  /** Which of the given sequences these are, row by row; rows beyond are all padding. */
  indices: number[];
  /** [B, T] tokens; padding is the end-of-text token. */
  tokens: Tensor;
  /** [B, T] the token that follows each token; padding where none does. */
  targets: Tensor;
}

/** Tokens per batch: enough to run at full speed, few enough for the working set to stay in the caches. */
const BATCH_TOKENS = 1024;

/**
 * Cuts sequences into batches of similar length: T is a multiple of 16, and there are as many rows as make about 1,024
 * tokens. What does not fill a batch of one length goes to the next longer one, so that only the last has empty rows.
 *
 * @param followUp - Tokens put behind every sequence, here and nowhere else. Sequences do not hold them, so that
 *   whatever is made of a completion, such as its log-probabilities or its share of a loss, leaves them out.
 */
export function batchesOf(sequences: readonly Sequence[], followUp: readonly number[] = []): Batch[] {
  const byLength = new Map<number, number[]>();
  sequences.forEach(({ tokens }, index) => {
    const T = roundUp(tokens.length + followUp.length, 16);
    byLength.set(T, [...(byLength.get(T) ?? []), index]);
  });
  const lengths = [...byLength.keys()].sort((a, b) => a - b);
  const batches: Batch[] = [];
  let waiting: number[] = [];
  for (const T of lengths) {
    const rows = Math.max(1, Math.floor(BATCH_TOKENS / T));
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
  const tokens = ints([rows, T], new Int32Array(rows * T).fill(END_OF_TEXT));
  const targets = ints([rows, T], new Int32Array(rows * T).fill(END_OF_TEXT));
  indices.forEach((index, row) => {
    const sequence = [...sequences[index]!.tokens, ...followUp];
    (tokens.data as Int32Array).set(sequence, row * T);
    (targets.data as Int32Array).set(sequence.slice(1), row * T);
  });
  return { indices, tokens, targets };
}

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
  /** Which of the given sequences these are; the rows beyond repeat none and are all padding. */
  indices: number[];
  /** [B, T] tokens; padding is the end-of-text token. */
  tokens: Tensor;
  /** [B, T] the token that follows each token; padding where none does. */
  targets: Tensor;
}

/**
 * Sorts sequences by length and cuts them into batches of `rows` rows whose T is a multiple of 16, so that little
 * computation goes to padding.
 */
export function batchesOf(sequences: readonly Sequence[], rows: number): Batch[] {
  const byLength = sequences
    .map((_, i) => i)
    .sort((a, b) => sequences[a]!.tokens.length - sequences[b]!.tokens.length || a - b);
  const batches: Batch[] = [];
  for (let start = 0; start < byLength.length; start += rows) {
    const indices = byLength.slice(start, start + rows);
    const T = roundUp(sequences[indices.at(-1)!]!.tokens.length, 16);
    const tokens = ints([rows, T], new Int32Array(rows * T).fill(END_OF_TEXT));
    const targets = ints([rows, T], new Int32Array(rows * T).fill(END_OF_TEXT));
    indices.forEach((index, row) => {
      const sequence = sequences[index]!.tokens;
      (tokens.data as Int32Array).set(sequence, row * T);
      (targets.data as Int32Array).set(sequence.slice(1), row * T);
    });
    batches.push({ indices, tokens, targets });
  }
  return batches;
}

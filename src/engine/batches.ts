/** @file How token sequences become rectangular batches. */

import { isEmbedded, type ModelConfig, vocabularySize } from "../model/index.ts";
import { ints, type Tensor } from "../tensor/index.ts";
import { fitting, type Room } from "./memory.ts";
import { powerOfTwo, roundUp } from "./programs.ts";
import type { Sequence } from "./types.ts";

/**
 * No token is ever read as another: a runtime counts -1 from the end, cuts 1.5 off, and takes a hole for 0.
 *
 * @throws RangeError naming the first token that the model does not have
 */
export function checkTokens(tokens: readonly number[], config: ModelConfig): void {
  const vocabulary = vocabularySize(config);
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i];
    if (!Number.isInteger(token) || token! < 0 || token! >= vocabulary)
      throw new RangeError(
        `model: token ${i} of a sequence is ${String(token)}; this model's are whole numbers from 0 to ${vocabulary - 1}`,
      );
  }
}

/** @throws RangeError where observations are not parts of the completion, in order */
function checkObservations({ tokens, promptLength, observations = [] }: Sequence): void {
  let from = promptLength;
  for (const [start, end] of observations) {
    if (
      !(
        Number.isInteger(start) &&
        Number.isInteger(end) &&
        from <= start &&
        start < end &&
        end <= tokens.length
      )
    )
      throw new RangeError(
        `model: a sequence has an observation from ${start} to ${end}; they should be parts of its completion, which is from ${promptLength} to ${tokens.length}, one behind the other`,
      );
    from = end;
  }
}

/** Some sequences of similar length, padded to one shape. */
export interface PaddedBatch {
  /** Which of the given sequences these are, row by row; rows beyond are all padding. */
  indices: number[];
  /** [B, T] tokens; padding is token 0. */
  tokens: Tensor;
  /** [B, T] the token that follows each token; padding where none does. */
  targets: Tensor;
}

export interface BatchOptions extends Room {
  /**
   * Tokens put behind every sequence, here and nowhere else. Sequences do not hold them, so that whatever is made of a
   * completion, such as its log-probabilities or its share of a loss, leaves them out.
   */
  followUp?: readonly number[];
}

/**
 * Cuts sequences into batches of similar length: T is a multiple of 16, and there are as many rows as fit the memory, at
 * least one. What does not fill a batch of one length goes to the next longer one, so that only the last has
 * fewer rows, or empty ones.
 *
 * @throws RangeError where a sequence has a token that the model does not have
 */
export function batchesOf(
  config: ModelConfig,
  sequences: readonly Sequence[],
  { followUp = [], ...room }: BatchOptions = {},
): PaddedBatch[] {
  checkTokens(followUp, config);
  for (const sequence of sequences) {
    checkTokens(sequence.tokens, config);
    checkObservations(sequence);
  }
  const byLength = new Map<number, number[]>();
  sequences.forEach(({ tokens }, index) => {
    const T = roundUp(tokens.length + followUp.length, 16);
    byLength.set(T, [...(byLength.get(T) ?? []), index]);
  });
  const lengths = [...byLength.keys()].sort((a, b) => a - b);
  const batches: PaddedBatch[] = [];
  let waiting: number[] = [];
  for (const T of lengths) {
    const { rows } = fitting(config, T, room);
    waiting = [...waiting, ...byLength.get(T)!];
    while (waiting.length >= rows || (T === lengths.at(-1) && waiting.length > 0))
      batches.push(padded(config, sequences, followUp, waiting.splice(0, rows), rows, T));
  }
  return batches;
}

/** A checkpoint's last batch has no more rows than the next power of two: empty ones cost as much as others. */
function padded(
  config: ModelConfig,
  sequences: readonly Sequence[],
  followUp: readonly number[],
  indices: number[],
  most: number,
  T: number,
): PaddedBatch {
  const rows = isEmbedded(config) ? most : Math.min(most, powerOfTwo(indices.length));
  const tokens = ints([rows, T], new Int32Array(rows * T));
  const targets = ints([rows, T], new Int32Array(rows * T));
  indices.forEach((index, row) => {
    const sequence = [...sequences[index]!.tokens, ...followUp];
    (tokens.data as Int32Array).set(sequence, row * T);
    (targets.data as Int32Array).set(sequence.slice(1), row * T);
  });
  return { indices, tokens, targets };
}

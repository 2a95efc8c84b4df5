/** @file How token sequences become rectangular batches. */

import { type Layout, type ModelConfig, vocabularySize } from "../model/index.ts";
import { ints, type Tensor } from "../tensor/index.ts";
import type { Room } from "./memory.ts";
import { type Packable, packed, type Row } from "./packing.ts";
import { halfOctave, powerOfTwo } from "./programs.ts";
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

/** Some sequences of similar length, side by side in rows of one length. */
export interface PackedBatch {
  /** Which of the given sequences these are. */
  indices: number[];
  /** [B, T] tokens; padding is token 0. */
  tokens: Tensor;
  /** [B, T] the token that follows each token where one does. */
  targets: Tensor;
  /** [B, T] where each token is in its sequence. */
  layout: Layout<Tensor>;
  /** Where a token of one of the sequences is, counted through the batch. */
  at(index: number, t: number): number;
}

/** The layout of a batch [B, T], all zeros: what programs are compiled for. */
export function layoutSpecs(B: number, T: number): Layout<Tensor> {
  return { positions: ints([B, T]), parts: ints([B, T]), trunks: ints([B, T]) };
}

/** Where tokens [B, T] are whose rows are one sequence each. */
export function wholeRows(B: number, T: number): Layout<Tensor> {
  const layout = layoutSpecs(B, T);
  for (let at = 0; at < B * T; at++) layout.positions.data[at] = at % T;
  return layout;
}

export interface BatchOptions extends Room {
  /**
   * Tokens put behind every sequence, here and nowhere else. Sequences do not hold them, so that whatever is made of a
   * completion, such as its log-probabilities or its share of a loss, leaves them out.
   */
  followUp?: readonly number[];
}

/**
 * Packs sequences into batches by length: those up to 64 tokens, up to 128, and so on. What does not fill a batch goes to the next
 * longer ones, so that only the last batch has fewer rows, or empty ones.
 *
 * @throws RangeError where a sequence has a token that the model does not have
 */
export function batchesOf(
  config: ModelConfig,
  sequences: readonly Sequence[],
  { followUp = [], ...room }: BatchOptions = {},
): PackedBatch[] {
  checkTokens(followUp, config);
  for (const sequence of sequences) {
    checkTokens(sequence.tokens, config);
    checkObservations(sequence);
  }
  const byLength = new Map<number, Packable[]>();
  sequences.forEach((sequence, index) => {
    const item = packable(sequence, index, followUp.length);
    const length = powerOfTwo(Math.max(64, item.trunk + item.branch));
    byLength.set(length, [...(byLength.get(length) ?? []), item]);
  });
  const lengths = [...byLength.keys()].sort((a, b) => a - b);
  const batches: PackedBatch[] = [];
  let waiting: Packable[] = [];
  for (const length of lengths) {
    const { T, rows, rowsOfBatch } = packed(config, [...waiting, ...byLength.get(length)!], room);
    const isLast = length === lengths.at(-1);
    const B = isLast ? sizeOfLast(rows.length, rowsOfBatch, room.devices) : rowsOfBatch;
    while (rows.length >= B || (isLast && rows.length > 0))
      batches.push(batchOf(rows.splice(0, B), [B, T], sequences, followUp));
    waiting = rows.flatMap(({ bundles }) => bundles.flatMap(({ members }) => members));
  }
  return batches;
}

/** What a batch costs beside its rows, as a share of what one of full size costs. */
const PER_BATCH = 1 / 16;

/** Rows of the last batches, all of one size: empty rows cost as much as others, and so do many batches. */
function sizeOfLast(rows: number, most: number, devices = 1): number {
  let best = most;
  const cost = (B: number) => Math.ceil(rows / B) * (B + PER_BATCH * most);
  for (let B = devices; B <= most; B = devices * halfOctave(B / devices + 1))
    if (cost(B) < cost(best)) best = B;
  return best;
}

/**
 * Sequences of one prompt share all of it but for its last token, which is followed by another token in each: so that every token
 * has one that follows.
 */
function packable({ tokens, promptLength }: Sequence, index: number, followUpLength: number): Packable {
  const trunk = Math.max(0, promptLength - 1);
  const branch = tokens.length + followUpLength - trunk;
  return { index, trunk, branch, kin: tokens.slice(0, trunk).join() };
}

/** Lays out rows. Each part of a row, a trunk or a branch, has a number of its own; padding is a part. */
function batchOf(
  rows: readonly Row[],
  [B, T]: readonly [number, number],
  sequences: readonly Sequence[],
  followUp: readonly number[],
): PackedBatch {
  const [tokens, targets] = [ints([B, T]), ints([B, T])];
  const layout = layoutSpecs(B, T);
  const places = new Map<number, { trunk: number; trunkAt: number; branchAt: number }>();
  rows.forEach(({ bundles }, row) => {
    let at = row * T;
    let part = 1;
    const put = (sequence: readonly number[], from: number, to: number, trunk: number) => {
      for (let t = from; t < to; t++, at++) {
        tokens.data[at] = sequence[t]!;
        targets.data[at] = sequence[t + 1] ?? 0;
        layout.positions.data[at] = t;
        layout.parts.data[at] = part;
        layout.trunks.data[at] = trunk;
      }
      part++;
    };
    for (const { trunk, members } of bundles) {
      const trunkAt = at;
      const trunkPart = part;
      put(sequences[members[0]!.index]!.tokens, 0, trunk, trunkPart);
      for (const { index } of members) {
        const sequence = [...sequences[index]!.tokens, ...followUp];
        places.set(index, { trunk, trunkAt, branchAt: at });
        put(sequence, trunk, sequence.length, trunkPart);
      }
    }
  });
  return {
    ...{ indices: [...places.keys()], tokens, targets, layout },
    at(index, t) {
      const { trunk, trunkAt, branchAt } = places.get(index)!;
      return t < trunk ? trunkAt + t : branchAt + t - trunk;
    },
  };
}

/** @file Where the tokens that a model wrote are in a batch: only there is the model asked for the next token. */

import { writtenPositions } from "../probe/index.ts";
import { type FloatTensor, floats, ints, type Tensor } from "../tensor/index.ts";
import type { PackedBatch } from "./batches.ts";
import type { Sequence } from "./types.ts";

/** A token of a completion. */
export interface TokenPlace {
  /** The position before it, counted through the batch [B, T]; no other token of a completion has the same. */
  at: number;
  target: number;
  /** Which of the sequences it belongs to, and which of its completion's tokens it is. */
  index: number;
  token: number;
}

/** The tokens of all completions of a batch, sequence by sequence. */
export function placesOf(batch: PackedBatch, sequences: readonly Sequence[]): TokenPlace[] {
  return batch.indices.flatMap((index) => {
    const { tokens } = sequences[index]!;
    return writtenPositions(sequences[index]!).map((t, token) => ({
      ...{ target: tokens[t]!, index, token },
      at: batch.at(index, t - 1),
    }));
  });
}

/** Some places, filled up to N by the batch's first position, which must not count. */
export interface Chunk {
  places: readonly TokenPlace[];
  index_N: Tensor;
  targets_N: Tensor;
}

/** Places in chunks of N each; one at least. */
export function chunksOf(places: readonly TokenPlace[], N: number): Chunk[] {
  return Array.from({ length: Math.max(1, Math.ceil(places.length / N)) }, (_, i) => {
    const own = places.slice(i * N, (i + 1) * N);
    const [index_N, targets_N] = [ints([N]), ints([N])];
    own.forEach(({ at, target }, n) => {
      index_N.data[n] = at;
      targets_N.data[n] = target;
    });
    return { places: own, index_N, targets_N };
  });
}

/** A number for each place [N]; 0 where the chunk is filled up. */
export function atPlaces({ places, index_N }: Chunk, value: (place: TokenPlace) => number): FloatTensor {
  const tensor = floats(index_N.shape);
  places.forEach((place, n) => {
    tensor.data[n] = value(place);
  });
  return tensor;
}

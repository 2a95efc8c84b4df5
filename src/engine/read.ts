/** @file What a read makes of activations where they are: the one place that knows how a probe reads a sequence. */

import { numpy as np } from "@jax-js/jax";
import { positionsOf } from "../probe/index.ts";
import {
  compile,
  type FloatTensor,
  floats,
  type Handle,
  ints,
  type JaxArray,
  type Tensor,
} from "../tensor/index.ts";
import type { Batch } from "./batches.ts";
import { type ProgramStore, powerOfTwo } from "./programs.ts";
import type { Read, Sequence } from "./types.ts";

/** The activation that a read needs. */
export function hookOf(read: Read): string {
  return read.as === "logits" ? read.probe.tap.hook : read.hook;
}

/**
 * Reads a batch.
 *
 * @param activations those at the read's hook [B, T, D]
 * @param batch what they are of, with `followUpLength` further tokens behind each of the sequences
 * @returns what was read of each sequence, in the order of the batch's
 * @throws Error where a sequence has no such positions, or the probe is for activations of another width
 */
export async function readBatch(
  programs: ProgramStore,
  read: Read,
  activations: Handle,
  batch: Batch,
  sequences: readonly Sequence[],
  followUpLength: number,
): Promise<Float32Array[]> {
  const [B, T, D] = activations.shape as [number, number, number];
  const positions = read.as === "logits" ? (read.positions ?? read.probe.tap.positions) : read.positions;
  const places = batch.indices.map((index) =>
    positionsOf(positions, sequences[index]!, followUpLength).map((t) => batch.at(index, t)),
  );
  const sizes = [read.as, B, T, D] as const;
  if (read.as === "logits") {
    const { weight_D, bias } = read.probe;
    if (weight_D.length !== D)
      throw new Error(`the probe reads activations of length ${weight_D.length}, got one of ${D}`);
    const program = await programs.cache(`read ${sizes}`, () => compileLogits(programs, B, T, D)).get();
    const direction = [floats([D], weight_D), floats([], new Float32Array([bias]))] as const;
    const { data } = await program.evaluate(activations, ...direction);
    return places.map((own) => Float32Array.from(own, (at) => data[at]!));
  }
  if (read.as === "mean") {
    const pool = poolOf(places, B * T);
    const S = pool.shape[0]!;
    const program = await programs.cache(`read ${sizes} ${S}`, () => compileMean(programs, B, T, D, S)).get();
    const { data } = await program.evaluate(activations, pool);
    return places.map((_, s) => floatsAt(data, s * D, D));
  }
  const flat = places.flat();
  const N = powerOfTwo(flat.length);
  const program = await programs.cache(`read ${sizes} ${N}`, () => compileRows(programs, B, T, D, N)).get();
  const index = ints([N]);
  index.data.set(flat);
  const { data } = await program.evaluate(activations, index);
  let from = 0;
  return places.map(({ length }) => {
    const rows = floatsAt(data, from * D, length * D);
    from += length;
    return rows;
  });
}

/** A copy of some numbers of a result. */
function floatsAt(data: Tensor["data"], start: number, count: number): Float32Array {
  return (data as Float32Array).slice(start, start + count);
}

/** A probe's logit at every position [B, T]. */
function compileLogits({ runtime }: ProgramStore, B: number, T: number, D: number) {
  return compile(
    (x_BTD: JaxArray, weight_D: JaxArray, bias: JaxArray) => np.dot(x_BTD, weight_D).add(bias),
    [floats([B, T, D]), floats([D]), floats([])] as const,
    { runtime },
  );
}

/** The share [S, N] of each of N positions in the mean of a sequence's, which are `places`; S is a power of two. */
export function poolOf(places: readonly (readonly number[])[], N: number): FloatTensor {
  const pool = floats([powerOfTwo(places.length), N]);
  for (const [s, own] of places.entries()) for (const at of own) pool.data[s * N + at] = 1 / own.length;
  return pool;
}

/** Each sequence's mean [S, D], by the share of its positions. */
function compileMean({ runtime }: ProgramStore, B: number, T: number, D: number, S: number) {
  return compile(
    (x_BTD: JaxArray, pool_SN: JaxArray) => np.dot(pool_SN, x_BTD.reshape([B * T, D])),
    [floats([B, T, D]), floats([S, B * T])] as const,
    { runtime },
  );
}

/** The activations [N, D] at some positions, counted through the whole batch. */
function compileRows({ runtime }: ProgramStore, B: number, T: number, D: number, N: number) {
  return compile(
    (x_BTD: JaxArray, index_N: JaxArray) => x_BTD.reshape([B * T, D]).slice(index_N),
    [floats([B, T, D]), ints([N])] as const,
    { runtime },
  );
}

/** @file What a read makes of activations where they are: the one place that knows how a probe reads a sequence. */

import { numpy as np } from "@jax-js/jax";
import { positionsOf } from "../probe/index.ts";
import type { Positions } from "../probe/types.ts";
import {
  compile,
  type FloatTensor,
  floats,
  type Handle,
  ints,
  type JaxArray,
  type Tensor,
  type TensorSpec,
} from "../tensor/index.ts";
import type { PackedBatch } from "./batches.ts";
import { type ProgramStore, powerOfTwo } from "./programs.ts";
import type { Read, Sequence } from "./types.ts";

/** The activation that a read needs. */
export function hookOf(read: Read): string {
  return read.as === "logits" ? read.probe.tap.hook : read.hook;
}

/** Where it reads. */
export function readAt(read: Read): Positions {
  return read.as === "logits" ? (read.positions ?? read.probe.tap.positions) : read.positions;
}

/**
 * Reads a batch.
 *
 * @param activations those at the read's hook [B, T, D], or as they are cached [B, 1, T, D]
 * @param where the sequences are in them, each with `followUpLength` further tokens
 * @returns what was read of each sequence, in the order of `where.indices`
 * @throws Error where a sequence has no such positions, or the probe is for activations of another width
 */
export async function readBatch(
  programs: ProgramStore,
  read: Read,
  activations: Handle,
  where: Pick<PackedBatch, "indices" | "at">,
  sequences: readonly Sequence[],
  followUpLength: number,
): Promise<Float32Array[]> {
  const [B, T, D] = [activations.shape[0]!, activations.shape.at(-2)!, activations.shape.at(-1)!];
  const positions = readAt(read);
  const places = readPlaces(positions, where, sequences, followUpLength);
  const spec = { shape: activations.shape, dtype: "float32" } as const;
  const sizes = [read.as, ...spec.shape].join();
  if (read.as === "logits") {
    const { weight_D, bias } = read.probe;
    if (weight_D.length !== D)
      throw new Error(`the probe reads activations of length ${weight_D.length}, got one of ${D}`);
    const program = await programs.cache(`read ${sizes}`, () => compileLogits(programs, spec)).get();
    const direction = [floats([D], weight_D), floats([], new Float32Array([bias]))] as const;
    const { data } = await program.evaluate(activations, ...direction);
    return places.map((own) => Float32Array.from(own, (at) => data[at]!));
  }
  if (read.as === "mean") {
    const pool = poolOf(places, B * T);
    const S = pool.shape[0]!;
    const program = await programs.cache(`read ${sizes} ${S}`, () => compileMean(programs, spec, S)).get();
    const { data } = await program.evaluate(activations, pool);
    return places.map((_, s) => floatsAt(data, s * D, D));
  }
  const flat = places.flat();
  const N = powerOfTwo(flat.length);
  const program = await programs.cache(`read ${sizes} ${N}`, () => compileRows(programs, spec, N)).get();
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
function compileLogits({ runtime }: ProgramStore, spec: TensorSpec) {
  const D = spec.shape.at(-1)!;
  return compile(
    (x_BTD: JaxArray, weight_D: JaxArray, bias: JaxArray) => np.dot(x_BTD, weight_D).add(bias),
    [spec, floats([D]), floats([])] as const,
    { runtime },
  );
}

/** Where each sequence is read, counted through the batch. @throws Error where one has no such positions */
export function readPlaces(
  positions: Positions,
  where: Pick<PackedBatch, "indices" | "at">,
  sequences: readonly Sequence[],
  followUpLength: number,
): number[][] {
  return where.indices.map((index) =>
    positionsOf(positions, sequences[index]!, followUpLength).map((t) => where.at(index, t)),
  );
}

/** The share [S, N] of each of N positions in the mean of a sequence's, which are `places`; S is a power of two. */
export function poolOf(places: readonly (readonly number[])[], N: number): FloatTensor {
  const pool = floats([powerOfTwo(places.length), N]);
  for (const [s, own] of places.entries()) for (const at of own) pool.data[s * N + at] = 1 / own.length;
  return pool;
}

/** Each sequence's mean [S, D], by the share of its positions. */
function compileMean({ runtime }: ProgramStore, spec: TensorSpec, S: number) {
  const [B, T, D] = [spec.shape[0]!, spec.shape.at(-2)!, spec.shape.at(-1)!];
  return compile(
    (x_BTD: JaxArray, pool_SN: JaxArray) => np.dot(pool_SN, x_BTD.reshape([B * T, D])),
    [spec, floats([S, B * T])] as const,
    { runtime },
  );
}

/** The activations [N, D] at some positions, counted through the whole batch. */
function compileRows({ runtime }: ProgramStore, spec: TensorSpec, N: number) {
  return compile(
    (x_BTD: JaxArray, index_N: JaxArray) => x_BTD.reshape([-1, spec.shape.at(-1)!]).slice(index_N),
    [spec, ints([N])] as const,
    { runtime },
  );
}

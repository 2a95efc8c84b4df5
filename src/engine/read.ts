/** @file What a read makes of activations where they are: the one place that knows how a probe reads a sequence. */

import { numpy as np } from "@jax-js/jax";
import { positionsOf } from "../probe/index.ts";
import { compile, floats, type Handle, ints, type JaxArray, type Tensor } from "../tensor/index.ts";
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
 * @param sequences that lie in its first rows, each with `followUpLength` further tokens
 * @returns what was read of each sequence
 * @throws Error where a sequence has no such positions, or the probe is for activations of another width
 */
export async function readBatch(
  programs: ProgramStore,
  read: Read,
  activations: Handle,
  sequences: readonly Sequence[],
  followUpLength: number,
): Promise<Float32Array[]> {
  const [B, T, D] = activations.shape as [number, number, number];
  const positions = read.as === "logits" ? (read.positions ?? read.probe.tap.positions) : read.positions;
  const places = sequences.map((sequence) => positionsOf(positions, sequence, followUpLength));
  const sizes = [read.as, B, T, D] as const;
  if (read.as === "logits") {
    const { weight_D, bias } = read.probe;
    if (weight_D.length !== D)
      throw new Error(`the probe reads activations of length ${weight_D.length}, got one of ${D}`);
    const program = await programs.cache(`read ${sizes}`, () => compileLogits(programs, B, T, D)).get();
    const direction = [floats([D], weight_D), floats([], new Float32Array([bias]))] as const;
    const { data } = await program.evaluate(activations, ...direction);
    return places.map((at, row) => Float32Array.from(at, (t) => data[row * T + t]!));
  }
  if (read.as === "mean") {
    const pool = floats([B, T]);
    for (const [row, at] of places.entries()) for (const t of at) pool.data[row * T + t] = 1 / at.length;
    const program = await programs.cache(`read ${sizes}`, () => compileMean(programs, B, T, D)).get();
    const { data } = await program.evaluate(activations, pool);
    return places.map((_, row) => floatsAt(data, row * D, D));
  }
  const flat = places.flatMap((at, row) => at.map((t) => row * T + t));
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

/** Each row's mean [B, D], by the share of its positions. */
function compileMean({ runtime }: ProgramStore, B: number, T: number, D: number) {
  return compile(
    (x_BTD: JaxArray, pool_BT: JaxArray) => np.matmul(pool_BT.reshape([B, 1, T]), x_BTD).reshape([B, D]),
    [floats([B, T, D]), floats([B, T])] as const,
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

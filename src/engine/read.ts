/** @file What a read makes of activations where they are: the one place that knows how a probe reads a sequence. */

import { numpy as np } from "@jax-js/jax";
import { positionsOf } from "../probe/index.ts";
import type { Positions } from "../probe/types.ts";
import {
  compile,
  floats,
  type Handle,
  ints,
  type JaxArray,
  type Tensor,
  type TensorSpec,
} from "../tensor/index.ts";
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
  const [B, T, D] = [activations.shape[0]!, activations.shape.at(-2)!, activations.shape.at(-1)!];
  const positions = readAt(read);
  const places = sequences.map((sequence) => positionsOf(positions, sequence, followUpLength));
  const spec = { shape: activations.shape, dtype: "float32" } as const;
  const sizes = [read.as, ...spec.shape].join();
  if (read.as === "logits") {
    const { weight_D, bias } = read.probe;
    if (weight_D.length !== D)
      throw new Error(`the probe reads activations of length ${weight_D.length}, got one of ${D}`);
    const program = await programs.cache(`read ${sizes}`, () => compileLogits(programs, spec)).get();
    const direction = [floats([D], weight_D), floats([], new Float32Array([bias]))] as const;
    const { data } = await program.evaluate(activations, ...direction);
    return places.map((at, row) => Float32Array.from(at, (t) => data[row * T + t]!));
  }
  if (read.as === "mean") {
    const pool = floats([B, T]);
    for (const [row, at] of places.entries()) for (const t of at) pool.data[row * T + t] = 1 / at.length;
    const program = await programs.cache(`read ${sizes}`, () => compileMean(programs, spec)).get();
    const { data } = await program.evaluate(activations, pool);
    return places.map((_, row) => floatsAt(data, row * D, D));
  }
  const flat = places.flatMap((at, row) => at.map((t) => row * T + t));
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

/** Each row's mean [B, D], by the share of its positions. */
function compileMean({ runtime }: ProgramStore, spec: TensorSpec) {
  const [B, T, D] = [spec.shape[0]!, spec.shape.at(-2)!, spec.shape.at(-1)!];
  return compile(
    (x_BTD: JaxArray, pool_BT: JaxArray) =>
      np.matmul(pool_BT.reshape([B, 1, T]), x_BTD.reshape([B, T, D])).reshape([B, D]),
    [spec, floats([B, T])] as const,
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

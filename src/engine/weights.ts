/** @file Weights where a runtime computes: handed over, fetched, and freed by their names. */

import type { Weights } from "../model/index.ts";
import {
  compile,
  type FloatTensor,
  type Handle,
  type JaxArray,
  type Runtime,
  type TensorSpec,
} from "../tensor/index.ts";
import type { ProgramStore } from "./programs.ts";

/** Tensors by name that lie where a runtime computes. */
export type Placed = Readonly<Record<string, Handle>>;
/** What a program may be given as weights: placed, or of this process. */
export type Given = Readonly<Record<string, Handle | FloatTensor>>;

/**
 * Hands tensors over, which must not be changed afterwards.
 *
 * @param frozen are they never trained? Matrices may then be kept in the precision that products are computed in
 */
export async function place(runtime: Runtime, weights: Weights, frozen = false): Promise<Placed> {
  return mapWeights(weights, (tensor) =>
    runtime.put(tensor, { asOperand: frozen && tensor.shape.length > 1 }),
  );
}

/** Zeros of the same shapes. */
export async function zerosLike(runtime: Runtime, like: Given): Promise<Placed> {
  return mapWeights(like, ({ shape }) => runtime.zeros({ shape, dtype: "float32" }));
}

/** Their numbers, valid until they are freed. */
export async function fetchWeights(runtime: Runtime, placed: Placed): Promise<Weights> {
  return mapWeights(placed, async (handle) => (await runtime.get(handle)) as FloatTensor);
}

/** Weights of this process that are nobody else's. */
export function copyWeights(weights: Weights): Weights {
  return Object.fromEntries(
    Object.entries(weights).map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }]),
  );
}

/** Their sums, name by name. What is added up is freed. */
export async function sumOf(programs: ProgramStore, a: Placed, b: Placed): Promise<Placed> {
  const specs = specsOf(a);
  const create = () =>
    compile(
      (x: Record<string, JaxArray>, y: Record<string, JaxArray>) =>
        Object.fromEntries(Object.entries(x).map(([name, one]) => [name, one.add(y[name]!)])),
      [specs, specs] as const,
      { runtime: programs.runtime, donate: [0, 1] },
    );
  const program = await programs.cache(JSON.stringify(["sum", specs]), create).get();
  return program.run(a, b);
}

/** What a program that takes them is compiled for. */
export function specsOf(placed: Placed): Record<string, TensorSpec> {
  return Object.fromEntries(
    Object.entries(placed).map(([name, { shape, dtype }]) => [name, { shape, dtype }]),
  );
}

/** Forgets them. */
export function freeWeights(runtime: Runtime, placed: Placed): void {
  for (const handle of Object.values(placed)) runtime.free(handle);
}

async function mapWeights<A, B>(
  weights: Readonly<Record<string, A>>,
  fn: (tensor: A) => Promise<B>,
): Promise<Record<string, B>> {
  const all = Object.entries(weights).map(async ([name, tensor]) => [name, await fn(tensor)] as const);
  return Object.fromEntries(await Promise.all(all));
}

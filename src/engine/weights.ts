/** @file Weights where a runtime computes: handed over, fetched, and freed by their names. */

import type { Weights } from "../model/index.ts";
import type { FloatTensor, Handle, Runtime } from "../tensor/index.ts";

/** Tensors by name that lie where a runtime computes. */
export type Placed = Readonly<Record<string, Handle>>;
/** What a program may be given as weights: placed, or of this process. */
export type Given = Readonly<Record<string, Handle | FloatTensor>>;

/** Hands tensors over, which must not be changed afterwards. */
export async function place(runtime: Runtime, weights: Weights): Promise<Placed> {
  return mapWeights(weights, (tensor) => runtime.put(tensor));
}

/** Zeros of the same shapes. */
export async function zerosLike(runtime: Runtime, like: Given): Promise<Placed> {
  return mapWeights(like, ({ shape }) => runtime.zeros({ shape, dtype: "float32" }));
}

/** Their numbers, valid until they are freed. */
export async function fetchWeights(runtime: Runtime, placed: Placed): Promise<Weights> {
  return mapWeights(placed, async (handle) => (await runtime.get(handle)) as FloatTensor);
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

/** @file Weights where a runtime computes: handed over, fetched, and freed by their names. */

import type { Weights } from "../model/index.ts";
import {
  compile,
  type FloatTensor,
  type Handle,
  type JaxArray,
  type Runtime,
  sizeOf,
  type TensorSpec,
  type TensorUse,
} from "../tensor/index.ts";
import type { ProgramStore } from "./programs.ts";

/** Tensors by name that lie where a runtime computes. */
export type Placed = Readonly<Record<string, Handle>>;
/** The same tensors, said to be for something: who counts memory counts by it. */
export function usedAs(use: TensorUse, placed: Placed): Placed {
  for (const handle of Object.values(placed)) handle.use = use;
  return placed;
}

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

/** Elements that are worked on at a time: what they become lies beside what they were. */
const TOGETHER = 2 ** 20;
/** Tensors that are worked on at a time. */
const ALIKE = 8;

/**
 * Names of tensors in groups of one shape: as many programs serve a model of eighty layers as one of eight. A group has a power
 * of two of tensors, `ALIKE` at most, with `TOGETHER` elements; a tensor that is larger stands alone.
 */
export function alike(tensors: Placed): string[][] {
  const byShape = new Map<string, string[]>();
  for (const [name, { shape }] of Object.entries(tensors)) {
    const key = shape.join();
    byShape.set(key, [...(byShape.get(key) ?? []), name]);
  }
  return [...byShape.values()].flatMap((names) => {
    const size = sizeOf(tensors[names[0]!]!.shape);
    const groups: string[][] = [];
    let count = Math.min(ALIKE, 2 ** Math.floor(Math.log2(Math.max(1, TOGETHER / size))));
    for (let at = 0; at < names.length; at += count) {
      while (count > names.length - at) count /= 2;
      groups.push(names.slice(at, at + count));
    }
    return groups;
  });
}

/** Some tensors by their names, in an order. */
export function handlesOf(tensors: Placed, names: readonly string[]): Handle[] {
  return names.map((name) => tensors[name]!);
}

/** Their sums, name by name. What is added up is freed. */
export async function sumOf(programs: ProgramStore, a: Placed, b: Placed): Promise<Placed> {
  const sums: Record<string, Handle> = {};
  for (const names of alike(a)) {
    const specs = handlesOf(a, names).map(({ shape }): TensorSpec => ({ shape, dtype: "float32" }));
    const create = () =>
      compile((x: JaxArray[], y: JaxArray[]) => x.map((one, i) => one.add(y[i]!)), [specs, specs] as const, {
        runtime: programs.runtime,
        donate: [0, 1],
      });
    const program = await programs.cache(JSON.stringify(["sum", specs]), create).get();
    const summed = await program.run(handlesOf(a, names), handlesOf(b, names));
    names.forEach((name, i) => {
      sums[name] = summed[i]!;
      sums[name].use = a[name]!.use;
    });
  }
  return sums;
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

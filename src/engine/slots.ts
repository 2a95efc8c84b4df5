/** @file What is fed to the decoding program: a slot per unfinished completion, with its keys and values. */

import { cacheHeads, type ModelConfig } from "../model/index.ts";
import {
  type CopyPair,
  type FloatTensor,
  floats,
  ints,
  type RowMove,
  type Runtime,
  type Tensor,
} from "../tensor/index.ts";
import type { CacheLayer } from "./decode.ts";

/** Rows of completions in the slots of a batch. */
export interface Slots {
  /** Number of slots, and of positions that each has room for. */
  B: number;
  C: number;
  /** The slot of each row. */
  of: Map<number, number>;
  token: Tensor;
  position: Tensor;
  /** [B, C]: 0 where the cache holds a token of the row, a large negative number elsewhere. */
  mask: FloatTensor;
  cache: CacheLayer[];
}

/** Where rows come from: slots, or the prompts that were read. */
export type Source = Pick<Slots, "C" | "of" | "cache">;

/** Moves rows to the slots 0, 1, ... of a batch of another size, and frees the cache that they come from. */
export async function repack(
  runtime: Runtime,
  source: Source,
  rows: readonly number[],
  B: number,
  C: number,
  config: ModelConfig,
): Promise<Slots> {
  const { heads: H, headDim: Dh } = cacheHeads(config);
  const empty = () => runtime.zeros({ shape: [B, H, C, Dh], dtype: "float32" });
  const cache: CacheLayer[] = [];
  for (const _ of source.cache) cache.push({ keys: await empty(), values: await empty() });
  const count = Math.min(source.C, C);
  await runtime.copy(
    pairsOf(source.cache, cache),
    rows.map((row, to): RowMove => ({ from: source.of.get(row)!, fromAt: 0, to, toAt: 0, count })),
  );
  freeCache(runtime, source.cache);
  return {
    ...{ B, C, of: new Map(rows.map((row, slot) => [row, slot])), cache },
    token: ints([B, 1]),
    position: ints([B, 1]),
    mask: floats([B, C], new Float32Array(B * C).fill(-1e9)),
  };
}

/** Sets a row's newest token, at its position; the cache holds all that came before. */
export function setNewest(
  { of, token, position, mask, C }: Slots,
  row: number,
  newest: number,
  at: number,
): void {
  const slot = of.get(row)!;
  token.data[slot] = newest;
  position.data[slot] = at;
  mask.data.fill(0, slot * C, slot * C + at).fill(-1e9, slot * C + at, (slot + 1) * C);
}

/** Copies the keys and values [B, H, 1, Dh] of rows' newest tokens into the cache, at their positions, and frees them. */
export async function keepNewest(
  runtime: Runtime,
  { of, cache }: Slots,
  newest: readonly CacheLayer[],
  rows: readonly number[],
  at: (row: number) => number,
): Promise<void> {
  const moves = rows.map((row): RowMove => {
    const slot = of.get(row)!;
    return { from: slot, fromAt: 0, to: slot, toAt: at(row), count: 1 };
  });
  await runtime.copy(pairsOf(newest, cache), moves);
  freeCache(runtime, newest);
}

/** Forgets keys and values. */
export function freeCache(runtime: Runtime, cache: readonly CacheLayer[]): void {
  for (const { keys, values } of cache) for (const handle of [keys, values]) runtime.free(handle);
}

function pairsOf(from: readonly CacheLayer[], to: readonly CacheLayer[]): CopyPair[] {
  return from.flatMap((source, layer) =>
    (["keys", "values"] as const).map((part) => ({ source: source[part], target: to[layer]![part] })),
  );
}

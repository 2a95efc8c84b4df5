/** @file Where completions are decoded: a slot for each that is unfinished, with its keys and values. */

import { cacheHeads, type ModelConfig } from "../model/index.ts";
import type { CopyPair, RowMove, Runtime } from "../tensor/index.ts";
import type { CacheLayer } from "./decode.ts";

/** Rows of completions in the slots of a batch, whose keys and values are cached. */
export interface Slots {
  /** Number of slots, and of positions that each has room for. */
  B: number;
  C: number;
  /** The slot of each row. */
  of: Map<number, number>;
  cache: CacheLayer[];
}

/** Where rows come from: slots, or the prompts that were read. */
export type Source = Pick<Slots, "C" | "of" | "cache">;

/** Moves rows to the slots 0, 1, ... of a batch of another size, and frees the caches that they come from. */
export async function repack(
  runtime: Runtime,
  sources: readonly Source[],
  rows: readonly number[],
  B: number,
  C: number,
  config: ModelConfig,
): Promise<Slots> {
  const { heads: H, headDim: Dh } = cacheHeads(config);
  const empty = async () => {
    const zeros = await runtime.zeros({ shape: [B, H, C, Dh], dtype: "float32" });
    zeros.use = "caches";
    return zeros;
  };
  const cache: CacheLayer[] = [];
  for (let layer = 0; layer < config.layers; layer++)
    cache.push({ keys: await empty(), values: await empty() });
  for (const source of sources) {
    const count = Math.min(source.C, C);
    const moves = rows.flatMap((row, to): RowMove[] => {
      const from = source.of.get(row);
      return from === undefined ? [] : [{ from, fromAt: 0, to, toAt: 0, count }];
    });
    await runtime.copy(pairsOf(source.cache, cache), moves);
    freeCache(runtime, source.cache);
  }
  return { B, C, of: new Map(rows.map((row, slot) => [row, slot])), cache };
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

/** @file Where completions are decoded: a slot for each that is unfinished, with its keys and values. */

import type { Handle, RowMove, Runtime } from "../tensor/index.ts";

/** Rows of completions in the slots of a batch, of which keys and values are cached, and what is read of them. */
export interface Slots {
  /** Number of slots, and of positions that each has room for. */
  B: number;
  C: number;
  /** The slot of each row. */
  of: Map<number, number>;
  /** Each [B, H, C, D], in the order of `cacheSizes`. */
  cache: Handle[];
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
): Promise<Slots> {
  const cache: Handle[] = [];
  for (const { shape } of sources[0]!.cache) {
    const empty = await runtime.zeros({ shape: [B, shape[1]!, C, shape[3]!], dtype: "float32" });
    empty.use = "caches";
    cache.push(empty);
  }
  for (const source of sources) {
    const count = Math.min(source.C, C);
    const moves = rows.flatMap((row, to): RowMove[] => {
      const from = source.of.get(row);
      return from === undefined ? [] : [{ from, fromAt: 0, to, toAt: 0, count }];
    });
    await runtime.copy(
      source.cache.map((from, i) => ({ source: from, target: cache[i]! })),
      moves,
    );
    freeAll(runtime, source.cache);
  }
  return { B, C, of: new Map(rows.map((row, slot) => [row, slot])), cache };
}

/** Forgets some tensors. */
export function freeAll(runtime: Runtime, handles: readonly Handle[]): void {
  for (const handle of handles) runtime.free(handle);
}

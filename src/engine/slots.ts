/** @file What is fed to the decoding program: a slot per unfinished completion, with its keys and values. */

import { cacheHeads, type ModelConfig } from "../model/index.ts";
import { type FloatTensor, floats, ints, type Tensor } from "../tensor/index.ts";
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

/** Moves rows to the slots 0, 1, ... of a batch of another size. */
export function repack(
  source: Source,
  rows: readonly number[],
  B: number,
  C: number,
  config: ModelConfig,
): Slots {
  const { heads: H, headDim: Dh } = cacheHeads(config);
  const { layers } = config;
  const slots: Slots = {
    B,
    C,
    of: new Map(),
    token: ints([B, 1]),
    position: ints([B, 1]),
    mask: floats([B, C], new Float32Array(B * C).fill(-1e9)),
    cache: Array.from({ length: layers }, () => ({
      keys: floats([B, H, C, Dh]),
      values: floats([B, H, C, Dh]),
    })),
  };
  const length = Math.min(source.C, C) * Dh;
  rows.forEach((row, slot) => {
    const from = source.of.get(row)!;
    slots.of.set(row, slot);
    for (let layer = 0; layer < layers; layer++)
      for (const part of ["keys", "values"] as const)
        for (let head = 0; head < H; head++) {
          const start = (from * H + head) * source.C * Dh;
          const data = source.cache[layer]![part].data.subarray(start, start + length);
          slots.cache[layer]![part].data.set(data, (slot * H + head) * C * Dh);
        }
  });
  return slots;
}

/** Sets a row's newest token, at its position; the cache holds all that came before. */
export function place(
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

/** Writes the keys and values [B, H, 1, Dh] of a row's newest token into the cache. */
export function keep(
  { of, cache, C }: Slots,
  row: number,
  fresh: readonly Record<keyof CacheLayer, Tensor>[],
  at: number,
): void {
  const slot = of.get(row)!;
  cache.forEach((layer, l) => {
    for (const part of ["keys", "values"] as const) {
      const target = layer[part].data;
      const { data, shape } = fresh[l]![part];
      const [, H, , Dh] = shape as [number, number, number, number];
      for (let head = 0; head < H; head++) {
        const from = (slot * H + head) * Dh;
        const to = ((slot * H + head) * C + at) * Dh;
        for (let i = 0; i < Dh; i++) target[to + i] = data[from + i]!;
      }
    }
  });
}

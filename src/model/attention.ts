/** @file Attention: within a sequence, and of one new token to a cache of keys and values. */

import { nn, numpy as np } from "@jax-js/jax";
import type { JaxArray } from "../tensor/index.ts";

/** Keys and values of one layer, each [B, Hkv, T, Dh]. */
export interface KeysValues {
  keys: JaxArray;
  values: JaxArray;
}

/** What a layer does to scores of attention beside the causal mask. */
export interface Scoring {
  /** Positions that a token sees, its own among them; all before it where this is not given. */
  window?: number | undefined;
  /** The bound c that scores x come near: c tanh(x / c). */
  cap?: number | undefined;
}

/**
 * Attention of one layer, from scaled queries [B, H, T, Dh] and keys and values [B, Hkv, T, Dh] to the mixed values
 * [B, H, T, Dh], where H is a multiple of Hkv. The forward pass attends within the sequence; decoding also attends to a
 * cache.
 */
export type Attend = (layer: number, queries: JaxArray, kv: KeysValues, scoring?: Scoring) => JaxArray;

/** Added to the scores of positions that are not seen. */
const HIDDEN = -1e9;

/** Positions 0 to T - 1 attend to themselves and what came before. */
export function causalAttention(T: number): Attend {
  // Added, not selected: adding uses all threads, and its gradient is free.
  const mask = np.triu(np.ones([T, T]), 1).mul(HIDDEN);
  return (_, queries, kv, { window = T, cap } = {}) => {
    const tooOld = window < T ? np.tril(np.ones([T, T]), -window).mul(HIDDEN) : undefined;
    return grouped(queries, kv, (q, { keys, values }) => {
      const seen = capped(np.matmul(q, swapLastTwo(keys)), cap).add(mask.ref);
      const scores = tooOld ? seen.add(tooOld) : seen;
      return np.matmul(nn.softmax(scores, -1), values);
    });
  };
}

/** Values bounded smoothly: c tanh(x / c), as they are without a bound. */
export function capped(x: JaxArray, cap: number | undefined): JaxArray {
  return cap
    ? nn
        .sigmoid(x.mul(2 / cap))
        .mul(2 * cap)
        .sub(cap)
    : x;
}

/**
 * Attention of one new token to a cache [B, Hkv, C, Dh] and to itself. The two are scored apart and joined in the
 * softmax, so that the cache is used where it lies.
 *
 * @param mask_BC 0 where the cache holds a token of the row, a large negative number elsewhere
 */
export function cacheAttention(cache: readonly KeysValues[], mask_BC: JaxArray): Attend {
  const [B, C] = mask_BC.shape as [number, number];
  return (layer, queries, own, { window = C + 1, cap } = {}) =>
    grouped(queries, own, (q, fresh) => {
      // [B, H, 1, Dh], or [B, Hkv, G, 1, Dh] where heads share keys.
      const ones = Array(q.shape.length - 2).fill(1);
      const { keys, values } = cache[layer]!;
      const cached =
        q.shape.length === 4 ? { keys, values } : { keys: addGroup(keys), values: addGroup(values) };
      const mask = windowed(mask_BC.ref, window).reshape([B, ...ones, C]);
      const scores = capped(np.matmul(q.ref, swapLastTwo(cached.keys)), cap).add(mask);
      const ownScore = capped(np.sum(q.mul(fresh.keys), -1, { keepdims: true }), cap);
      const largest = np.maximum(np.max(scores.ref, -1, { keepdims: true }), ownScore.ref);
      const odds = np.exp(scores.sub(largest.ref));
      const ownOdds = np.exp(ownScore.sub(largest));
      const total = np.sum(odds.ref, -1, { keepdims: true }).add(ownOdds.ref);
      return np.matmul(odds, cached.values).add(ownOdds.mul(fresh.values)).mul(np.reciprocal(total));
    });
}

/**
 * The mask of a cache for tokens that see `window` positions, their own among them. A row's newest token stands behind the last
 * position that is not hidden: a position is too old where the one `window` - 1 behind it is in the cache too.
 */
function windowed(mask_BC: JaxArray, window: number): JaxArray {
  if (window > mask_BC.shape[1]!) return mask_BC;
  const held_BC = np.where(mask_BC.ref.less(HIDDEN / 2), 0, HIDDEN);
  const tooOld_BC = np.pad(held_BC.slice([], [window - 1]), [
    [0, 0],
    [0, window - 1],
  ]);
  return mask_BC.add(tooOld_BC);
}

/** Gives queries an axis of the heads that share keys and values, [B, Hkv, G, T, Dh], where several do. */
function grouped(
  queries: JaxArray,
  { keys, values }: KeysValues,
  attend: (queries: JaxArray, kv: KeysValues) => JaxArray,
): JaxArray {
  const [B, H, T, Dh] = queries.shape as [number, number, number, number];
  const Hkv = keys.shape[1]!;
  if (H === Hkv) return attend(queries, { keys, values });
  const shared = { keys: addGroup(keys), values: addGroup(values) };
  return attend(queries.reshape([B, Hkv, H / Hkv, T, Dh]), shared).reshape([B, H, T, Dh]);
}

/** [B, H, T, Dh] to [B, H, 1, T, Dh]. */
function addGroup(x: JaxArray): JaxArray {
  const [B, H, ...rest] = x.shape as [number, number, number, number];
  return x.reshape([B, H, 1, ...rest]);
}

function swapLastTwo(x: JaxArray): JaxArray {
  const axes = x.shape.map((_, i) => i);
  return x.transpose([...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!]);
}

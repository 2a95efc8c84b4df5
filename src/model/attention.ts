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

/**
 * Where the tokens of a batch [B, T] are, int32 each. A row is made of parts, one behind the other: beginnings of sequences, which
 * several may share (trunks), and what each goes on with (branches).
 */
export interface Layout<T = JaxArray> {
  /** Index of each token in its sequence. */
  positions: T;
  /** Number of the part of the row in which it is. */
  parts: T;
  /** Number of the part that is before that one in its sequences, or of its own where none is. */
  trunks: T;
}

/** What is added to the scores of queries for keys, [B, 1, T, T]: 0 where a token sees another, a large negative number elsewhere. */
export function maskOf({ parts, trunks }: Omit<Layout, "positions">): JaxArray {
  const [B, T] = parts.shape as [number, number];
  const keys = parts.ref.reshape([B, 1, 1, T]);
  const isOwn = parts.reshape([B, 1, T, 1]).equal(keys.ref);
  const isTrunk = trunks.reshape([B, 1, T, 1]).equal(keys);
  const isSeen = np.maximum(isOwn.astype(np.float32), isTrunk.astype(np.float32));
  return isSeen
    .mul(np.tril(np.ones([T, T])))
    .sub(1)
    .mul(-HIDDEN);
}

/** What a pass over tokens that are laid out so needs of it. */
export function laidOut({ positions, ...parts }: Layout): { positions: JaxArray; attend: Attend } {
  const attend = attentionWithin({ mask: maskOf(parts), positions: positions.ref });
  return { positions, attend: (_, queries, kv, scoring) => attend(queries, kv, scoring) };
}

/** Positions 0 to T - 1 attend to themselves and what came before. */
export function causalAttention(T: number): Attend {
  const positions = np.arange(T).astype(np.int32).reshape([1, T]);
  const attend = attentionWithin({
    mask: np
      .triu(np.ones([T, T]), 1)
      .mul(HIDDEN)
      .reshape([1, 1, T, T]),
    positions,
  });
  return (_, queries, kv, scoring) => attend(queries, kv, scoring);
}

/** What tokens [B, T] see of each other. */
export interface Visible<T = JaxArray> {
  /** [B or 1, 1, T, T]; see `maskOf`. */
  mask: T;
  /** Index of each token in its sequence [B or 1, T]: needed where layers see a window of positions. */
  positions?: T;
}

/** Attention of tokens to those of their batch that they see. */
export function attentionWithin({ mask, positions }: Visible) {
  const [B, , T] = mask.shape as [number, number, number];
  return (queries: JaxArray, kv: KeysValues, { window = T, cap }: Scoring = {}): JaxArray => {
    const tooOld =
      window < T
        ? agesOf(positions!.ref)
            .greater(window - 1)
            .astype(np.float32)
            .mul(HIDDEN)
        : null;
    const hidden = tooOld ? tooOld.add(mask.ref) : mask.ref;
    return grouped(queries, kv, (q, { keys, values }) => {
      const ones = Array(q.shape.length - 3).fill(1);
      // Added, not selected: adding uses all threads, and its gradient is free.
      const scores = capped(np.matmul(q, swapLastTwo(keys)), cap).add(hidden.reshape([B, ...ones, T, T]));
      return np.matmul(nn.softmax(scores, -1), values);
    });
  };
}

/** By how many positions a token is behind another, [B, 1, T, T]. */
function agesOf(positions: JaxArray): JaxArray {
  const [B, T] = positions.shape as [number, number];
  return positions.ref.reshape([B, 1, T, 1]).sub(positions.reshape([B, 1, 1, T]));
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

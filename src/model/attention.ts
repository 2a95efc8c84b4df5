/** @file Attention: within a sequence, and of one new token to a cache of keys and values. */

import { nn, numpy as np } from "@jax-js/jax";
import type { JaxArray } from "../tensor/index.ts";

/** Keys and values of one layer, each [B, Hkv, T, Dh]. */
export interface KeysValues {
  keys: JaxArray;
  values: JaxArray;
}

/**
 * Attention of one layer, from scaled queries [B, H, T, Dh] and keys and values [B, Hkv, T, Dh] to the mixed values
 * [B, H, T, Dh], where H is a multiple of Hkv. The forward pass attends within the sequence; decoding also attends to a
 * cache.
 */
export type Attend = (layer: number, queries: JaxArray, kv: KeysValues) => JaxArray;

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
    .mul(1e9);
}

/** What a pass over tokens that are laid out so needs of it. */
export function laidOut({ positions, ...parts }: Layout): { positions: JaxArray; attend: Attend } {
  const attend = maskedAttention(maskOf(parts));
  return { positions, attend: (_, queries, kv) => attend(queries, kv) };
}

/** Positions 0 to T - 1 attend to themselves and what came before. */
export function causalAttention(T: number): Attend {
  const attend = maskedAttention(
    np
      .triu(np.ones([T, T]), 1)
      .mul(-1e9)
      .reshape([1, 1, T, T]),
  );
  return (_, queries, kv) => attend(queries, kv);
}

/** Attention of tokens to those of their batch that the mask [B or 1, 1, T, T] lets them see; it is the caller's. */
export function maskedAttention(mask: JaxArray): (queries: JaxArray, kv: KeysValues) => JaxArray {
  const [B, , T] = mask.shape as [number, number, number];
  return (queries, kv) =>
    grouped(queries, kv, (q, { keys, values }) => {
      const ones = Array(q.shape.length - 3).fill(1);
      // Added, not selected: adding uses all threads, and its gradient is free.
      const scores = np.matmul(q, swapLastTwo(keys)).add(mask.ref.reshape([B, ...ones, T, T]));
      return np.matmul(nn.softmax(scores, -1), values);
    });
}

/**
 * Attention of one new token to a cache [B, Hkv, C, Dh] and to itself. The two are scored apart and joined in the
 * softmax, so that the cache is used where it lies.
 *
 * @param mask_BC 0 where the cache holds a token of the row, a large negative number elsewhere
 */
export function cacheAttention(cache: readonly KeysValues[], mask_BC: JaxArray): Attend {
  const [B, C] = mask_BC.shape as [number, number];
  return (layer, queries, own) =>
    grouped(queries, own, (q, fresh) => {
      // [B, H, 1, Dh], or [B, Hkv, G, 1, Dh] where heads share keys.
      const ones = Array(q.shape.length - 2).fill(1);
      const { keys, values } = cache[layer]!;
      const cached =
        q.shape.length === 4 ? { keys, values } : { keys: addGroup(keys), values: addGroup(values) };
      const scores = np.matmul(q.ref, swapLastTwo(cached.keys)).add(mask_BC.ref.reshape([B, ...ones, C]));
      const ownScore = np.sum(q.mul(fresh.keys), -1, { keepdims: true });
      const largest = np.maximum(np.max(scores.ref, -1, { keepdims: true }), ownScore.ref);
      const odds = np.exp(scores.sub(largest.ref));
      const ownOdds = np.exp(ownScore.sub(largest));
      const total = np.sum(odds.ref, -1, { keepdims: true }).add(ownOdds.ref);
      return np.matmul(odds, cached.values).add(ownOdds.mul(fresh.values)).mul(np.reciprocal(total));
    });
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

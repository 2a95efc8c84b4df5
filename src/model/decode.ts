/** @file The two programs of generation: reading prompts, and one more token with a cache of keys and values. */

import { numpy as np } from "@jax-js/jax";
import { compile, type FloatTensor, floats, ints, type JaxArray, type Tensor } from "../tensor/index.ts";
import type { ModelConfig } from "./config.ts";
import { weightSpecs } from "./score.ts";
import {
  type Attend,
  causalAttention,
  type Edit,
  type KeysValues,
  type TracedWeights,
  transformer,
} from "./transformer.ts";

/** One layer's keys and values, each [slots, H, positions, Dh]. */
export interface CacheLayer {
  keys: FloatTensor;
  values: FloatTensor;
}

/** Compiles: logits [B, T, V] and all keys and values of B prompts that start at position 0. */
export function compilePrefill(config: ModelConfig, edit: Edit | undefined, B: number, T: number) {
  return compile(
    (weights: TracedWeights, tokens_BT: JaxArray) => {
      const cache: KeysValues[] = [];
      const causal = causalAttention(T);
      const logits = transformer(
        weights,
        tokens_BT,
        np.arange(T).astype(np.int32),
        config,
        (layer, queries, kv) => {
          cache.push({ keys: kv.keys.ref, values: kv.values.ref });
          return causal(layer, queries, kv);
        },
        undefined,
        edit,
      );
      return { logits, cache };
    },
    [weightSpecs(config), ints([B, T])] as const,
  );
}

/**
 * Compiles: logits [B, 1, V] after one more token per row, and that token's keys and values [B, H, 1, Dh]. The host
 * writes those into the cache; the program never copies it.
 */
export function compileDecode(config: ModelConfig, edit: Edit | undefined, B: number, C: number) {
  const { heads: H, width, layers } = config;
  const layer: CacheLayer = { keys: floats([B, H, C, width / H]), values: floats([B, H, C, width / H]) };
  const specs: [ReturnType<typeof weightSpecs>, Tensor, Tensor, CacheLayer[], FloatTensor] = [
    weightSpecs(config),
    ints([B, 1]),
    ints([B, 1]),
    Array(layers).fill(layer),
    floats([B, C]),
  ];
  return compile(
    (
      weights: TracedWeights,
      token_B1: JaxArray,
      position_B1: JaxArray,
      cache: KeysValues[],
      mask_BC: JaxArray,
    ) => {
      const fresh: KeysValues[] = [];
      const attend: Attend = (layer, queries, kv) => {
        fresh.push({ keys: kv.keys.ref, values: kv.values.ref });
        return attendToCache(queries, cache[layer]!, kv, mask_BC.ref);
      };
      const logits = transformer(weights, token_B1, position_B1, config, attend, undefined, edit);
      mask_BC.dispose();
      return { logits, fresh };
    },
    specs,
  );
}

/**
 * Attention of one new token to a cache [B, H, C, Dh] and to itself. The two are scored apart and joined in the
 * softmax, so that the cache is used where it lies.
 */
function attendToCache(queries: JaxArray, cached: KeysValues, own: KeysValues, mask_BC: JaxArray): JaxArray {
  const [B, C] = mask_BC.shape as [number, number];
  const scores = np
    .matmul(queries.ref, cached.keys.transpose([0, 1, 3, 2]))
    .add(mask_BC.reshape([B, 1, 1, C]));
  const ownScore = np.sum(queries.mul(own.keys), -1, { keepdims: true });
  const largest = np.maximum(np.max(scores.ref, -1, { keepdims: true }), ownScore.ref);
  const odds = np.exp(scores.sub(largest.ref));
  const ownOdds = np.exp(ownScore.sub(largest));
  const total = np.sum(odds.ref, -1, { keepdims: true }).add(ownOdds.ref);
  return np.matmul(odds, cached.values).add(ownOdds.mul(own.values)).mul(np.reciprocal(total));
}

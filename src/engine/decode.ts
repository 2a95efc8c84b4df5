/** @file The two programs of generation: reading prompts, and one more token with a cache of keys and values. */

import { numpy as np } from "@jax-js/jax";
import {
  type Attend,
  cacheAttention,
  cacheHeads,
  causalAttention,
  type Edit,
  hiddenStates,
  type KeysValues,
  logitsOf,
  type ModelConfig,
  type TracedWeights,
  weightSpecs,
} from "../model/index.ts";
import {
  compile,
  type FloatTensor,
  floats,
  type Handle,
  ints,
  type JaxArray,
  type Runtime,
  type Tensor,
} from "../tensor/index.ts";

/** One layer's keys and values, each [slots, Hkv, positions, Dh]. */
export interface CacheLayer<T = Handle> {
  keys: T;
  values: T;
}

/**
 * Compiles: logits [B, V] after the last token, at position `last_B`, of B prompts that start at position 0, and all
 * their keys and values.
 */
export function compilePrefill(
  runtime: Runtime,
  config: ModelConfig,
  edit: Edit | undefined,
  B: number,
  T: number,
) {
  return compile(
    (weights: TracedWeights, tokens_BT: JaxArray, last_B: JaxArray) => {
      const cache: KeysValues[] = [];
      const causal = causalAttention(T);
      const states_BTD = hiddenStates(
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
      const last_BD = states_BTD.slice(np.arange(B).astype(np.int32), last_B);
      return { logits: logitsOf(weights, last_BD, config), cache };
    },
    [weightSpecs(config), ints([B, T]), ints([B])] as const,
    { runtime },
  );
}

/**
 * Compiles: logits [B, V] after one more token per row, and that token's keys and values [B, Hkv, 1, Dh]. They are
 * copied into the cache afterwards; the program never writes it anew.
 */
export function compileDecode(
  runtime: Runtime,
  config: ModelConfig,
  edit: Edit | undefined,
  B: number,
  C: number,
) {
  const { heads: H, headDim: Dh } = cacheHeads(config);
  const layer: CacheLayer<FloatTensor> = { keys: floats([B, H, C, Dh]), values: floats([B, H, C, Dh]) };
  const specs: [ReturnType<typeof weightSpecs>, Tensor, Tensor, CacheLayer<FloatTensor>[], FloatTensor] = [
    weightSpecs(config),
    ints([B, 1]),
    ints([B, 1]),
    Array(config.layers).fill(layer),
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
      const attendToCache = cacheAttention(cache, mask_BC);
      const attend: Attend = (layer, queries, kv) => {
        fresh.push({ keys: kv.keys.ref, values: kv.values.ref });
        return attendToCache(layer, queries, kv);
      };
      const states_B1D = hiddenStates(weights, token_B1, position_B1, config, attend, undefined, edit);
      mask_BC.dispose();
      const logits = logitsOf(weights, states_B1D.reshape([B, config.width]), config);
      return { logits, fresh };
    },
    specs,
    { runtime },
  );
}

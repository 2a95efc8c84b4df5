/** @file What is cached of every token while completions are decoded, and what a decoding program is given. */

import { type Ablation, cacheHeads, type ModelConfig, weightSpecs } from "../model/index.ts";
import { type FloatTensor, floats, ints, type Tensor } from "../tensor/index.ts";

/** What of every token is kept beside its keys and values, so that it can be read afterwards. */
export interface Kept {
  /** Activations by their hooks. */
  hooks: readonly string[];
  /** Divides the logits of the distribution whose entropy is kept. */
  temperature: number;
}

/** How a model decodes. */
export interface Decodes {
  ablate?: Ablation | undefined;
  kept?: Kept | undefined;
}

/**
 * What is cached of every token, as [H, D] of arrays [slots, H, positions, D]: each layer's keys and its values, and, where it is kept,
 * each hook's activation and the entropy of the next token.
 */
export function cacheSizes(config: ModelConfig, keep: Kept | undefined): [H: number, D: number][] {
  const { heads, headDim } = cacheHeads(config);
  const keysValues = Array.from({ length: 2 * config.layers }, (): [number, number] => [heads, headDim]);
  if (!keep) return keysValues;
  return [...keysValues, ...keep.hooks.map((): [number, number] => [1, config.width]), [1, 1]];
}

/** What is specified of a decoding program: weights, tokens and their positions [B, 1], what is cached, and the mask [B, C]. */
export function decodeSpecs(config: ModelConfig, keep: Kept | undefined, B: number, C: number) {
  const cache = cacheSizes(config, keep).map(([H, D]) => floats([B, H, C, D]));
  const specs: [ReturnType<typeof weightSpecs>, Tensor, Tensor, FloatTensor[], FloatTensor] = [
    weightSpecs(config),
    ints([B, 1]),
    ints([B, 1]),
    cache,
    floats([B, C]),
  ];
  return specs;
}

/** @file Models of real shapes with random weights, for what is measured and not for what they say. */

import { CharacterTokenizer } from "../dist/model/index.js";
import { weightShapes } from "../dist/model/transformer.js";

/** A decoder's configuration, from what is its own. */
export const decoder = (shape) => ({
  ...{ architecture: "qwen3", context: 4096, norm: { kind: "rms", epsilon: 1e-6 }, mlp: "gated-silu" },
  rotary: {
    frequencies: Array.from({ length: shape.headDim / 2 }, (_, i) => 1e6 ** ((-2 * i) / shape.headDim)),
    magnitude: 1,
  },
  ...{ biases: { queryKeyValue: false, attentionOut: false, mlp: false }, queryKeyNorm: false },
  ...{ endTokens: [], tied: true },
  ...shape,
});

/** The shapes of SmolLM2-135M, Qwen2.5-0.5B, Qwen3-4B and Llama-3.1-8B. */
export const SHAPES = {
  smollm2: decoder({
    ...{ layers: 30, heads: 9, keyValueHeads: 3, headDim: 64, width: 576, hidden: 1536 },
    vocabulary: 49152,
  }),
  "0.5b": decoder({
    ...{ layers: 24, heads: 14, keyValueHeads: 2, headDim: 64, width: 896, hidden: 4864 },
    vocabulary: 151936,
  }),
  "4b": decoder({
    ...{ layers: 36, heads: 32, keyValueHeads: 8, headDim: 128, width: 2560, hidden: 9728 },
    ...{ vocabulary: 151936, queryKeyNorm: true },
  }),
  "8b": decoder({
    ...{ layers: 32, heads: 32, keyValueHeads: 8, headDim: 128, width: 4096, hidden: 14336 },
    ...{ vocabulary: 128256, tied: false },
  }),
};

/** All projections of a layer. */
export const lora = {
  ...{ rank: 16, alpha: 32 },
  targets: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
};

/** Random numbers that all weights are cut from: drawing billions of them takes longer than all else. */
export const pool = new Float32Array(2 ** 24);
let seed = 1;
for (let i = 0; i < pool.length; i++) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  pool[i] = 0.04 * (seed / 2 ** 32 - 0.5);
}

export function randomModel(config) {
  const weights = {};
  for (const [name, shape] of Object.entries(weightShapes(config))) {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    if (name.includes("norm")) data.fill(1);
    else
      for (let at = 0; at < data.length; at += pool.length) data.set(pool.subarray(0, data.length - at), at);
    weights[name] = { shape, dtype: "float32", data };
  }
  return { config, weights, tokenizer: new CharacterTokenizer("") };
}

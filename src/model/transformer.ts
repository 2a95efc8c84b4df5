/** @file A model as a jax-js program, whatever its architecture: from tokens to states, and from states to logits. */

import { numpy as np } from "@jax-js/jax";
import { type JaxArray, sizeOf, type TensorSpec } from "../tensor/index.ts";
import { type Attend, capped, causalAttention } from "./attention.ts";
import { characterShapes, characterStates } from "./character.ts";
import { checkHooks, isEmbedded, type ModelConfig, normsOf } from "./config.ts";
import { decoderStates } from "./decoder.ts";
import { adapterShapes, decoderShapes } from "./shapes.ts";
import type { Edit, Observe, TracedWeights } from "./types.ts";

/** Shapes of the weights by name, in the order in which they are used. */
export function weightShapes(config: ModelConfig): Record<string, number[]> {
  return config.architecture === "probeward-character"
    ? characterShapes(config)
    : { ...decoderShapes(config), ...adapterShapes(config) };
}

/** How many numbers a model's weights are. */
export function weightCount(config: ModelConfig): number {
  return Object.values(weightShapes(config)).reduce((sum, shape) => sum + sizeOf(shape), 0);
}

/** Specifications of a model's weights. */
export function weightSpecs(config: ModelConfig): Record<string, TensorSpec> {
  return Object.fromEntries(
    Object.entries(weightShapes(config)).map(([name, shape]) => [name, { shape, dtype: "float32" }]),
  );
}

/**
 * The normalised residual stream [B, T, D] after the last layer.
 *
 * @param tokens_BT token ids, int32
 * @param positions index of each token in its sequence, int32 [B, T], or [T] where all sequences start at 0
 * @param observe sees activations before they are edited
 */
export function hiddenStates(
  weights: TracedWeights,
  tokens_BT: JaxArray,
  positions: JaxArray,
  config: ModelConfig,
  attend: Attend = causalAttention(tokens_BT.shape[1]!),
  observe: Observe = () => {},
  edit: Edit = (_, x) => x,
): JaxArray {
  const stream: Edit = (hook, x_BTD) => {
    observe(hook, x_BTD);
    return edit(hook, x_BTD);
  };
  return config.architecture === "probeward-character"
    ? characterStates(weights, tokens_BT, positions, config, attend, observe, stream)
    : decoderStates(weights, tokens_BT, positions, config, attend, observe, stream);
}

/**
 * The weights that an activation depends on. With tied embeddings, the output's are among them.
 *
 * @throws Error for a hook that the model does not have
 */
export function weightsBefore(config: ModelConfig, hook: string): string[] {
  checkHooks(config, [hook]);
  const [, at, site] = hook.split(".") as [string, string, string];
  const layer = Number(at);
  const mlpNorms = isEmbedded(config) ? [] : Object.values(normsOf(config).mlp);
  const parallel = !isEmbedded(config) && config.parallel;
  const parts = {
    attention: !site.endsWith("pre") && !(parallel && site === "hook_mlp_out"),
    mlp: site.endsWith("mlp_out") || site.endsWith("post"),
  };
  return Object.keys(weightShapes(config)).filter((name) => {
    const [, block, part] = /^(?:blocks|model\.layers)\.(\d+)\.(\w+)/.exec(name) ?? [];
    if (part === undefined)
      return name !== "model.norm.weight" && name !== "model.norm.bias" && name !== "lm_head.weight";
    if (Number(block) !== layer) return Number(block) < layer;
    return parts[part === "mlp" || mlpNorms.includes(part) ? "mlp" : "attention"];
  });
}

/** The matrix [V, D] whose product with a state gives the logits of the next token. */
export function unembedding(weights: TracedWeights, config: ModelConfig): JaxArray {
  if (config.architecture === "probeward-character") return weights["embed.W_E"]!.ref;
  return weights[config.tied ? "model.embed_tokens.weight" : "lm_head.weight"]!.ref;
}

/** Logits [.., V] of the next token after states [.., D]. */
export function logitsOf(weights: TracedWeights, states: JaxArray, config: ModelConfig): JaxArray {
  return boundedLogits(np.dot(states, unembedding(weights, config).transpose()), config);
}

/** Products of states with rows of the unembedding, as the logits that they are. */
export function boundedLogits(products: JaxArray, config: ModelConfig): JaxArray {
  return isEmbedded(config) ? products : capped(products, config.caps?.logits);
}

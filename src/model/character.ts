/** @file The embedded character transformer as a jax-js program. */

import { nn, numpy as np } from "@jax-js/jax";
import { normal, type Random } from "../random.ts";
import { floats, type JaxArray } from "../tensor/index.ts";
import type { Attend } from "./attention.ts";
import { type CharacterConfig, vocabularySize } from "./config.ts";
import type { Edit, Observe, TracedWeights, Weights } from "./types.ts";

/** Shapes of the weights by TransformerLens's names, in the order in which they are used. */
export function characterShapes(config: CharacterConfig): Record<string, number[]> {
  const { layers, width: D, hidden: F, context: T } = config;
  const shapes: Record<string, number[]> = {
    "embed.W_E": [vocabularySize(config), D],
    "pos_embed.W_pos": [T, D],
  };
  for (let layer = 0; layer < layers; layer++) {
    for (const name of ["W_Q", "W_K", "W_V", "W_O"]) shapes[`blocks.${layer}.attn.${name}`] = [D, D];
    shapes[`blocks.${layer}.mlp.W_in`] = [D, F];
    shapes[`blocks.${layer}.mlp.W_out`] = [F, D];
  }
  return shapes;
}

/** Fresh weights: normal, deviation 0.02 for embeddings and 1/sqrt(inputs) for matrices, those into the stream scaled down by depth. */
export function initialWeights(config: CharacterConfig, random: Random): Weights {
  const weights: Weights = {};
  for (const [name, shape] of Object.entries(characterShapes(config))) {
    const intoStream = name.endsWith("W_O") || name.endsWith("W_out");
    const scale = name.startsWith("blocks")
      ? (shape[0]! * (intoStream ? 2 * config.layers : 1)) ** -0.5
      : 0.02;
    const tensor = floats(shape);
    for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = scale * normal(random);
    weights[name] = tensor;
  }
  return weights;
}

/** The normalised stream [B, T, D] after the last layer; see `hiddenStates`. */
export function characterStates(
  weights: TracedWeights,
  tokens_BT: JaxArray,
  positions: JaxArray,
  config: CharacterConfig,
  attend: Attend,
  observe: Observe,
  stream: Edit,
): JaxArray {
  const [B, T] = tokens_BT.shape as [number, number];
  const { heads: H, width: D, layers } = config;
  const heads = (x_BTD: JaxArray) => x_BTD.reshape([B, T, H, D / H]).transpose([0, 2, 1, 3]);
  const W = (name: string) => weights[name]!.ref;

  let x = W("embed.W_E").slice(tokens_BT).add(W("pos_embed.W_pos").slice(positions));
  for (let layer = 0; layer < layers; layer++) {
    const block = `blocks.${layer}`;
    x = stream(`${block}.hook_resid_pre`, x);

    const normed = rmsNorm(x.ref);
    const queries = heads(np.dot(normed.ref, W(`${block}.attn.W_Q`)).mul((D / H) ** -0.5));
    const keys = heads(np.dot(normed.ref, W(`${block}.attn.W_K`)));
    const values = heads(np.dot(normed, W(`${block}.attn.W_V`)));
    const mixed = attend(layer, queries, { keys, values }).transpose([0, 2, 1, 3]).reshape([B, T, D]);
    const attentionOut = np.dot(mixed, W(`${block}.attn.W_O`));
    observe(`${block}.hook_attn_out`, attentionOut);
    x = x.add(attentionOut);
    x = stream(`${block}.hook_resid_mid`, x);

    const hidden = nn.relu(np.dot(rmsNorm(x.ref), W(`${block}.mlp.W_in`)));
    const mlpOut = np.dot(np.square(hidden), W(`${block}.mlp.W_out`));
    observe(`${block}.hook_mlp_out`, mlpOut);
    x = x.add(mlpOut);
    x = stream(`${block}.hook_resid_post`, x);
  }
  return rmsNorm(x);
}

/** x / rms(x) over the last axis. */
function rmsNorm(x: JaxArray): JaxArray {
  const meanSquare = np.mean(np.square(x.ref), -1, { keepdims: true });
  return x.mul(np.reciprocal(np.sqrt(meanSquare.add(1e-5))));
}

/** @file The transformer as a jax-js program. */

import { nn, numpy as np } from "@jax-js/jax";
import { normal, type Random } from "../random.ts";
import { type FloatTensor, floats, type JaxArray } from "../tensor/index.ts";
import { type ModelConfig, vocabularySize } from "./config.ts";

/** Weights by TransformerLens's names. */
export type Weights = Record<string, FloatTensor>;
/** The same while a program is traced. */
export type TracedWeights = Record<string, JaxArray>;

/** Shapes of the weights by name, in the order in which they are used. */
export function weightShapes(config: ModelConfig): Record<string, number[]> {
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

/**
 * The weights that an activation depends on. With tied embeddings, the output's are among them.
 *
 * @throws Error for a hook that the model does not have
 */
export function weightsBefore(config: ModelConfig, hook: string): string[] {
  const [, at, site] = /^blocks\.(\d+)\.(hook_\w+)$/.exec(hook) ?? [];
  const layer = Number(at);
  if (site === undefined || layer >= config.layers)
    throw new Error(`model: there is no activation ${JSON.stringify(hook)}`);
  const parts =
    site === "hook_resid_pre"
      ? []
      : site.endsWith("mlp_out") || site.endsWith("post")
        ? ["attn", "mlp"]
        : ["attn"];
  return Object.keys(weightShapes(config)).filter((name) => {
    const [, block, part] = /^blocks\.(\d+)\.(\w+)/.exec(name) ?? [];
    return part === undefined || Number(block) < layer || (Number(block) === layer && parts.includes(part));
  });
}

/** Fresh weights: normal, deviation 0.02 for embeddings and 1/sqrt(inputs) for matrices, those into the stream scaled down by depth. */
export function initialWeights(config: ModelConfig, random: Random): Weights {
  const weights: Weights = {};
  for (const [name, shape] of Object.entries(weightShapes(config))) {
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

/** Receives every activation by its TransformerLens name as it is computed; does not own it. */
export type Observe = (hook: string, activation_BTD: JaxArray) => void;

/** Takes an activation of the residual stream, which it owns, and returns what goes on in its place. */
export type Edit = (hook: string, activation_BTD: JaxArray) => JaxArray;

/** Keys and values of one layer, each [B, H, T, Dh]. */
export interface KeysValues {
  keys: JaxArray;
  values: JaxArray;
}

/**
 * Attention of one layer, from queries, keys and values [B, H, T, Dh] to the mixed values of the same shape. The
 * forward pass attends within the sequence; decoding also attends to a cache.
 */
export type Attend = (layer: number, queries: JaxArray, kv: KeysValues) => JaxArray;

/**
 * Logits [B, T, V] of the next token.
 *
 * @param tokens_BT token ids, int32
 * @param positions_BT index of each token in its sequence, int32, or [T] where all sequences start at 0
 * @param observe sees activations before they are edited
 */
export function transformer(
  weights: TracedWeights,
  tokens_BT: JaxArray,
  positions: JaxArray,
  config: ModelConfig,
  attend: Attend = causalAttention(tokens_BT.shape[1]!),
  observe: Observe = () => {},
  edit: Edit = (_, x) => x,
): JaxArray {
  const [B, T] = tokens_BT.shape as [number, number];
  const { heads: H, width: D, layers } = config;
  const heads = (x_BTD: JaxArray) => x_BTD.reshape([B, T, H, D / H]).transpose([0, 2, 1, 3]);
  const W = (name: string) => weights[name]!.ref;
  const stream = (hook: string, x_BTD: JaxArray) => {
    observe(hook, x_BTD);
    return edit(hook, x_BTD);
  };

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
  return np.dot(rmsNorm(x), W("embed.W_E").transpose());
}

/** x / rms(x) over the last axis. */
function rmsNorm(x: JaxArray): JaxArray {
  const meanSquare = np.mean(np.square(x.ref), -1, { keepdims: true });
  return x.mul(np.reciprocal(np.sqrt(meanSquare.add(1e-5))));
}

/** Positions 0 to T - 1 attend to themselves and what came before. */
export function causalAttention(T: number): Attend {
  // Added, not selected: adding uses all threads, and its gradient is free.
  const mask = np.triu(np.ones([T, T]), 1).mul(-1e9);
  return (_, queries, { keys, values }) => {
    const scores = np.matmul(queries, keys.transpose([0, 1, 3, 2])).add(mask.ref);
    return np.matmul(nn.softmax(scores, -1), values);
  };
}

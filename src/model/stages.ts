/** @file A decoder's weights by the stage that uses them: into the stream, each layer, out of it. */

import type { DecoderConfig } from "./config.ts";

/** Weights by stage. A tied embedding is used by two. */
export interface ByStage<T> {
  enter: Record<string, T>;
  /** Of each layer, by their names in it: `self_attn.q_proj.weight`, `mlp.up_proj.lora_A.weight`, ... */
  layers: Record<string, T>[];
  leave: Record<string, T>;
}

export const IN_LAYER = /^model\.layers\.(\d+)\./;

/** A model's weights by stage. */
export function byStage<T>(config: DecoderConfig, weights: Readonly<Record<string, T>>): ByStage<T> {
  const layers: Record<string, T>[] = Array.from({ length: config.layers }, () => ({}));
  const stages: ByStage<T> = { enter: {}, layers, leave: {} };
  const head = config.tied ? "model.embed_tokens." : "lm_head.";
  for (const [name, weight] of Object.entries(weights)) {
    const [prefix, layer] = IN_LAYER.exec(name) ?? [];
    if (prefix) layers[Number(layer)]![name.slice(prefix.length)] = weight;
    if (name.startsWith("model.embed_")) stages.enter[name] = weight;
    if (name.startsWith("model.norm.") || name.startsWith(head)) stages.leave[name] = weight;
  }
  return stages;
}

/** A layer's weights by the model's names. */
export function wholeNames<T>(weights: Readonly<Record<string, T>>, layer: number): Record<string, T> {
  const named = Object.entries(weights).map(([name, weight]) => [`model.layers.${layer}.${name}`, weight]);
  return Object.fromEntries(named);
}

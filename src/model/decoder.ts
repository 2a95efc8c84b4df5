/** @file Llama, Qwen2, Qwen3 and GPT-2 as one jax-js program, with low-rank adapters where a model has them. */

import { nn, numpy as np } from "@jax-js/jax";
import type { JaxArray } from "../tensor/index.ts";
import type { Attend, KeysValues } from "./attention.ts";
import type { DecoderConfig } from "./config.ts";
import { type Turns, turned, turnsAt } from "./rotary.ts";
import { byStage } from "./stages.ts";
import type { Edit, Observe, TracedWeights } from "./types.ts";

/** The projections of a layer, by name, with their sizes: outputs, inputs, and whether they have a bias. */
export function projections(
  config: DecoderConfig,
): Record<string, { path: string; outputs: number; inputs: number; bias: boolean }> {
  const { width: D, hidden: F, biases, mlp } = config;
  const queries = config.heads * config.headDim;
  const keys = config.keyValueHeads * config.headDim;
  const attention = (name: string, outputs: number, inputs: number, bias: boolean) =>
    [name, { path: `self_attn.${name}`, outputs, inputs, bias }] as const;
  const inMlp = (name: string, outputs: number, inputs: number) =>
    [name, { path: `mlp.${name}`, outputs, inputs, bias: biases.mlp }] as const;
  return Object.fromEntries([
    attention("q_proj", queries, D, biases.queryKeyValue),
    attention("k_proj", keys, D, biases.queryKeyValue),
    attention("v_proj", keys, D, biases.queryKeyValue),
    attention("o_proj", D, queries, biases.attentionOut),
    ...(mlp === "gated-silu" ? [inMlp("gate_proj", F, D)] : []),
    inMlp("up_proj", F, D),
    inMlp("down_proj", D, F),
  ]);
}

/** Shapes of the checkpoint's weights by Llama's names (GPT-2's are given the same), in the order of use. */
export function decoderShapes(config: DecoderConfig): Record<string, number[]> {
  const { width: D, vocabulary: V } = config;
  const shapes: Record<string, number[]> = { "model.embed_tokens.weight": [V, D] };
  const norm = (name: string, size: number) => {
    shapes[`${name}.weight`] = [size];
    if (config.norm.kind === "layer") shapes[`${name}.bias`] = [size];
  };
  if (config.rotary === null) shapes["model.embed_positions.weight"] = [config.context, D];
  for (let layer = 0; layer < config.layers; layer++) {
    const block = `model.layers.${layer}`;
    norm(`${block}.input_layernorm`, D);
    for (const { path, outputs, inputs, bias } of Object.values(projections(config))) {
      if (path === "mlp.gate_proj" || (path === "mlp.up_proj" && config.mlp === "gelu-tanh"))
        norm(`${block}.post_attention_layernorm`, D);
      shapes[`${block}.${path}.weight`] = [outputs, inputs];
      if (bias) shapes[`${block}.${path}.bias`] = [outputs];
    }
    if (config.queryKeyNorm)
      for (const name of ["q_norm", "k_norm"]) shapes[`${block}.self_attn.${name}.weight`] = [config.headDim];
  }
  norm("model.norm", D);
  if (!config.tied) shapes["lm_head.weight"] = [V, D];
  return shapes;
}

/** Shapes of the adapter's tensors: for every target A [rank, inputs] and B [outputs, rank]; none without an adapter. */
export function adapterShapes(config: DecoderConfig): Record<string, number[]> {
  const shapes: Record<string, number[]> = {};
  const { adapter } = config;
  if (adapter === undefined) return shapes;
  for (let layer = 0; layer < config.layers; layer++)
    for (const { path, outputs, inputs } of Object.values(projections(config))) {
      const module = `model.layers.${layer}.${path}`;
      if (!isTarget(module, adapter.targets)) continue;
      shapes[`${module}.lora_A.weight`] = [adapter.rank, inputs];
      shapes[`${module}.lora_B.weight`] = [outputs, adapter.rank];
    }
  return shapes;
}

/** The modules that can have adapters: the projections of all layers by their whole names. */
export function adapterModules(config: DecoderConfig): string[] {
  const paths = Object.values(projections(config)).map(({ path }) => path);
  return Array.from({ length: config.layers }, (_, layer) =>
    paths.map((path) => `model.layers.${layer}.${path}`),
  ).flat();
}

/** Is a module among the targets, by its name or by the end of it? As PEFT takes a list of them. */
export function isTarget(module: string, targets: readonly string[]): boolean {
  return targets.some((target) => module === target || module.endsWith(`.${target}`));
}

/** The normalised stream [B, T, D] after the last layer; see `hiddenStates`. */
export function decoderStates(
  weights: TracedWeights,
  tokens_BT: JaxArray,
  positions: JaxArray,
  config: DecoderConfig,
  attend: Attend,
  observe: Observe,
  stream: Edit,
): JaxArray {
  let { x, turns } = enterDecoder(weights, tokens_BT, positions, config);
  for (const [layer, own] of byStage(config, weights).layers.entries())
    x = decoderLayer(own, x, turns, config, {
      attend: (queries, kv) => attend(layer, queries, kv),
      observe: (site, value) => observe(`blocks.${layer}.${site}`, value),
      stream: (site, value) => stream(`blocks.${layer}.${site}`, value),
    });
  return leaveDecoder(weights, x, config);
}

/** The stream [B, T, D] that enters the first layer, and how queries and keys are turned. */
export function enterDecoder(
  weights: TracedWeights,
  tokens_BT: JaxArray,
  positions: JaxArray,
  config: DecoderConfig,
): { x: JaxArray; turns: Turns } {
  const x = weights["model.embed_tokens.weight"]!.ref.slice(tokens_BT);
  if (config.rotary) return { x, turns: turnsAt(config.rotary, positions) };
  return { x: x.add(weights["model.embed_positions.weight"]!.ref.slice(positions)), turns: {} };
}

/** What is done inside a layer; sites are ends of hooks' names, as in `hook_resid_post`. */
export interface InLayer {
  /** See `Attend`. */
  attend(queries: JaxArray, kv: KeysValues): JaxArray;
  observe(site: string, value: JaxArray): void;
  /** Sees the residual stream, which it owns, and gives what goes on. */
  stream(site: string, value: JaxArray): JaxArray;
}

/**
 * One layer: from the stream [B, T, D] that enters it to the one that leaves it.
 *
 * @param weights those of the layer, by their names in it; an adapter's where it has one
 */
export function decoderLayer(
  weights: TracedWeights,
  x: JaxArray,
  turns: Turns,
  config: DecoderConfig,
  { attend, observe, stream }: InLayer,
): JaxArray {
  const [B, T] = x.shape as [number, number, number];
  const { heads: H, headDim: Dh, adapter } = config;
  const norm = (y: JaxArray, name: string) => normalised(weights, y, name, config);
  const project = (y: JaxArray, name: string): JaxArray => {
    const plain = withBias(weights, np.dot(y.ref, weightOf(weights, name).transpose()), name);
    if (!adapter || weights[`${name}.lora_A.weight`] === undefined) {
      y.dispose();
      return plain;
    }
    const down = np.dot(y, weightOf(weights, `${name}.lora_A`).transpose());
    const low = down.mul(adapter.alpha / adapter.rank);
    return plain.add(np.dot(low, weightOf(weights, `${name}.lora_B`).transpose()));
  };
  const inHeads = (y: JaxArray, count: number) => y.reshape([B, T, count, Dh]).transpose([0, 2, 1, 3]);

  x = stream("hook_resid_pre", x);
  const normed = norm(x.ref, "input_layernorm");
  const headsOf = (which: "q" | "k", count: number) => {
    const y = inHeads(project(normed.ref, `self_attn.${which}_proj`), count);
    return turned(config.queryKeyNorm ? norm(y, `self_attn.${which}_norm`) : y, turns);
  };
  const queries = headsOf("q", H).mul(Dh ** -0.5);
  const keys = headsOf("k", config.keyValueHeads);
  const values = inHeads(project(normed, "self_attn.v_proj"), config.keyValueHeads);
  const mixed = attend(queries, { keys, values })
    .transpose([0, 2, 1, 3])
    .reshape([B, T, H * Dh]);
  const attentionOut = project(mixed, "self_attn.o_proj");
  observe("hook_attn_out", attentionOut);
  x = stream("hook_resid_mid", x.add(attentionOut));

  const mlpIn = norm(x.ref, "post_attention_layernorm");
  const gate = config.mlp === "gated-silu" ? nn.silu(project(mlpIn.ref, "mlp.gate_proj")) : null;
  const up = project(mlpIn, "mlp.up_proj");
  const mlpOut = project(gate ? gate.mul(up) : geluTanh(up), "mlp.down_proj");
  observe("hook_mlp_out", mlpOut);
  return stream("hook_resid_post", x.add(mlpOut));
}

/** The stream [.., D] that leaves the last layer, normalised. */
export function leaveDecoder(weights: TracedWeights, x: JaxArray, config: DecoderConfig): JaxArray {
  return normalised(weights, x, "model.norm", config);
}

function weightOf(weights: TracedWeights, name: string): JaxArray {
  return weights[`${name}.weight`]!.ref;
}

function withBias(weights: TracedWeights, x: JaxArray, name: string): JaxArray {
  const bias = weights[`${name}.bias`];
  return bias ? x.add(bias.ref) : x;
}

function normalised(weights: TracedWeights, x: JaxArray, name: string, { norm }: DecoderConfig): JaxArray {
  const centred = norm.kind === "layer" ? x.ref.sub(np.mean(x, -1, { keepdims: true })) : x;
  const meanSquare = np.mean(np.square(centred.ref), -1, { keepdims: true });
  const scale = np.reciprocal(np.sqrt(meanSquare.add(norm.epsilon)));
  return withBias(weights, centred.mul(scale).mul(weightOf(weights, name)), name);
}

/** GELU by its tanh formula, x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3))) (Hendrycks & Gimpel 2016). */
function geluTanh(x: JaxArray): JaxArray {
  const cubic = np.square(x.ref).mul(0.044715).add(1).mul(x.ref);
  return x.mul(nn.sigmoid(cubic.mul(2 * Math.sqrt(2 / Math.PI))));
}

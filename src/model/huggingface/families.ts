/** @file The families of Hugging Face's checkpoints: the keys that each has, and what it does otherwise than Llama. */

import type { z } from "zod";
import type { DecoderConfig, Norms, Rotary } from "../config.ts";
import {
  gemma2Schema,
  gemma3Schema,
  gpt2Schema,
  llamaSchema,
  mistralSchema,
  neoxSchema,
  olmo2Schema,
  phi3Schema,
  qwen3MoeSchema,
  qwenSchema,
} from "./keys.ts";
import { gemma3Rope, neoxRope, phi3Rope, type RopeKeys, ropeOf } from "./rope.ts";

/** What is read of a family's `config.json`. */
type Read = Omit<DecoderConfig, "endTokens">;

/** A family: the schema of its `config.json`, and what that says. */
export interface Family<Json> {
  schema: z.ZodType<Json>;
  /** @throws Error naming the file at `path` and what is wrong in it */
  read(json: Json, path: string): Read;
}

const AROUND: { attention: Norms; mlp: Norms } = {
  attention: { before: "input_layernorm", after: "post_attention_layernorm" },
  mlp: { before: "pre_feedforward_layernorm", after: "post_feedforward_layernorm" },
};
const BEHIND: { attention: Norms; mlp: Norms } = {
  attention: { after: "post_attention_layernorm" },
  mlp: { after: "post_feedforward_layernorm" },
};

/** The families by `model_type`. */
export const families = {
  llama: family(llamaSchema, (json, path) => ({
    ...likeLlama(json, path),
    biases: { queryKeyValue: json.attention_bias, attentionOut: json.attention_bias, mlp: json.mlp_bias },
  })),
  mistral: family(mistralSchema, (json, path) => ({
    ...likeLlama(json, path),
    ...windows(json.sliding_window, everyLayer(json)),
  })),
  qwen2: family(qwenSchema, (json, path) => ({
    ...likeLlama(json, path),
    ...qwenWindows(json, path),
    biases: { queryKeyValue: true, attentionOut: false, mlp: false },
  })),
  qwen3: family(qwenSchema, (json, path) => ({
    ...likeLlama({ ...json, head_dim: json.head_dim === undefined ? 128 : json.head_dim }, path),
    ...qwenWindows(json, path),
    queryKeyNorm: "head",
  })),
  qwen3_moe: family(qwen3MoeSchema, (json, path) => ({
    ...likeLlama({ ...json, intermediate_size: json.moe_intermediate_size }, path),
    queryKeyNorm: "head",
    experts: expertsOf(json, path),
  })),
  olmo2: family(olmo2Schema, (json, path) => ({
    ...likeLlama(json, path),
    norms: BEHIND,
    queryKeyNorm: "whole",
  })),
  phi3: family(phi3Schema, (json, path) => {
    const llama = likeLlama({ ...json, rope_parameters: null, rope_scaling: null }, path);
    return {
      ...llama,
      ...phi3Rope(json, llama, path),
      ...windows(json.sliding_window, everyLayer(json)),
      fused: { queryKeyValue: "by-part", gateUp: true },
    };
  }),
  gemma2: family(gemma2Schema, (json, path) => ({
    ...likeGemma(json, path),
    ...windows(
      json.sliding_window,
      slidingLayers(json, path, (layer) => layer % 2 === 0),
    ),
    caps: capsOf(json.attn_logit_softcapping, json.final_logit_softcapping),
  })),
  gemma3_text: family(gemma3Schema, (json, path) => {
    const { full, sliding } = gemma3Rope(json);
    const gemma = likeGemma({ ...json, ...full }, path);
    const layers = slidingLayers(json, path, (layer) => (layer + 1) % json.sliding_window_pattern !== 0);
    return {
      ...gemma,
      ...windows(json.sliding_window, layers, ropeOf(sliding, gemma, path)),
      queryKeyNorm: "head",
      caps: capsOf(null, json.final_logit_softcapping),
    };
  }),
  gpt_neox: family(neoxSchema, (json, path) => {
    const headDim = evenly(json.hidden_size, json.num_attention_heads, path);
    const { layer_norm_eps: epsilon, attention_bias: bias } = json;
    const all = sizes(json, json.num_attention_heads, headDim);
    return {
      ...all,
      architecture: json.model_type,
      norm: { kind: "layer", epsilon },
      parallel: json.use_parallel_residual,
      rotary: neoxRope(json, all, path),
      mlp: json.hidden_act === "gelu" ? "gelu" : "gelu-tanh",
      tied: json.tie_word_embeddings,
      biases: { queryKeyValue: bias, attentionOut: bias, mlp: true },
      fused: { queryKeyValue: "by-head" },
      queryKeyNorm: false,
    };
  }),
  gpt2: family(gpt2Schema, (json, path) => ({
    architecture: json.model_type,
    vocabulary: json.vocab_size,
    context: json.n_positions,
    layers: json.n_layer,
    heads: json.n_head,
    keyValueHeads: json.n_head,
    headDim: evenly(json.n_embd, json.n_head, path),
    width: json.n_embd,
    hidden: json.n_inner ?? 4 * json.n_embd,
    norm: { kind: "layer", epsilon: json.layer_norm_epsilon },
    rotary: null,
    mlp: "gelu-tanh",
    tied: json.tie_word_embeddings,
    biases: { queryKeyValue: true, attentionOut: true, mlp: true },
    fused: { queryKeyValue: "by-part" },
    queryKeyNorm: false,
  })),
};

function family<Json>(schema: z.ZodType<Json>, read: (json: Json, path: string) => Read): Family<Json> {
  return { schema, read };
}

/** Sizes in Llama's words. */
interface SizesJson {
  vocab_size: number;
  max_position_embeddings: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  hidden_size: number;
  intermediate_size: number;
}

function sizes(json: SizesJson, keyValueHeads: number, headDim: number) {
  return {
    vocabulary: json.vocab_size,
    context: json.max_position_embeddings,
    layers: json.num_hidden_layers,
    heads: json.num_attention_heads,
    keyValueHeads,
    headDim,
    width: json.hidden_size,
    hidden: json.intermediate_size,
  };
}

/** What is read of all families with Llama's keys. */
interface LlamaJson extends SizesJson, RopeKeys {
  model_type: DecoderConfig["architecture"];
  num_key_value_heads?: number | null | undefined;
  head_dim?: number | null | undefined;
  rms_norm_eps: number;
  tie_word_embeddings: boolean;
  attention_bias: boolean;
}

/** Defaults are those of the families' classes in transformers. */
function likeLlama(json: LlamaJson, path: string): Read {
  const heads = json.num_attention_heads;
  const keyValueHeads = json.num_key_value_heads ?? heads;
  const headDim = json.head_dim ?? json.hidden_size / heads;
  evenly(heads, keyValueHeads, path);
  const all = sizes(json, keyValueHeads, headDim);
  return {
    ...all,
    architecture: json.model_type,
    norm: { kind: "rms", epsilon: json.rms_norm_eps },
    rotary: ropeOf(json, all, path),
    mlp: "gated-silu",
    tied: json.tie_word_embeddings,
    biases: { queryKeyValue: json.attention_bias, attentionOut: json.attention_bias, mlp: false },
    queryKeyNorm: false,
  };
}

/** Gemma 2 and 3: norms around both parts, with 1 added to their weights, and embeddings that are scaled. */
function likeGemma(json: LlamaJson & { query_pre_attn_scalar: number }, path: string): Read {
  return {
    ...likeLlama(json, path),
    norm: { kind: "rms", epsilon: json.rms_norm_eps, offset: 1 },
    norms: AROUND,
    embeddingScale: Math.sqrt(json.hidden_size),
    attentionScale: json.query_pre_attn_scalar ** -0.5,
    mlp: "gated-gelu-tanh",
  };
}

/** Layers that see a window; none where it is as good as everything. */
function windows(
  window: number | null | undefined,
  layers: readonly number[],
  rotary?: Rotary,
): Pick<DecoderConfig, "sliding"> {
  if (!window || layers.length === 0) return {};
  return { sliding: { layers, window, ...(rotary && { rotary }) } };
}

function everyLayer({ num_hidden_layers: layers }: Pick<SizesJson, "num_hidden_layers">): number[] {
  return Array.from({ length: layers }, (_, layer) => layer);
}

/** The layers that see a window: those that are listed, or else those that the family's rule says. */
function slidingLayers(
  json: SizesJson & { layer_types?: readonly string[] | null | undefined },
  path: string,
  rule: (layer: number) => boolean,
): number[] {
  const { layer_types: listed, num_hidden_layers: layers } = json;
  if (listed && listed.length !== layers)
    throw new Error(`${path}: layer_types lists ${listed.length} layers, and num_hidden_layers is ${layers}`);
  return everyLayer(json).filter((layer) => (listed ? listed[layer] === "sliding_attention" : rule(layer)));
}

function qwenWindows(json: z.infer<typeof qwenSchema>, path: string): Pick<DecoderConfig, "sliding"> {
  const window = json.use_sliding_window ? json.sliding_window : null;
  const first = json.max_window_layers ?? 28;
  const layers = slidingLayers(json, path, (layer) => window !== null && layer >= first);
  if (layers.length > 0 && !window)
    throw new Error(
      `${path}: layer_types has layers with windows, and use_sliding_window is not true, so that their width is not known`,
    );
  return windows(window, layers);
}

function expertsOf(
  json: z.infer<typeof qwen3MoeSchema>,
  path: string,
): NonNullable<DecoderConfig["experts"]> {
  const { num_experts: older, num_local_experts: newer, num_experts_per_tok: perToken } = json;
  const count = newer ?? older ?? 128;
  if (older && older !== count)
    throw new Error(`${path}: num_experts is ${older}, and num_local_experts ${count}; they are one number`);
  if (perToken > count)
    throw new Error(
      `${path}: num_experts_per_tok is ${perToken}, of ${count} experts; it should be ${count} at most`,
    );
  return { count, perToken, normalised: json.norm_topk_prob };
}

function capsOf(
  attention: number | null | undefined,
  logits: number | null | undefined,
): NonNullable<DecoderConfig["caps"]> {
  return { ...(attention && { attention }), ...(logits && { logits }) };
}

/** @throws Error where a number of parts does not divide a whole */
function evenly(whole: number, parts: number, path: string): number {
  if (whole % parts !== 0) throw new Error(`${path}: ${whole} cannot be dealt to ${parts} heads evenly`);
  return whole / parts;
}

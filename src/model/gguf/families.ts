/** @file The architectures of GGUF files: what their tensors are called, the keys that they alone have, and what those say. */

import { z } from "zod";
import type { DecoderConfig, Norms } from "../config.ts";
import { type ArchitectureKeys, architectureSchema, positive, size } from "./keys.ts";

/** An architecture of GGUF, as llama.cpp computes it. */
export interface GgufFamily {
  architecture: DecoderConfig["architecture"];
  /** The parts of a layer by their names in files, where they have others than Llama's. */
  parts: Readonly<Record<string, string>>;
  schema: z.ZodType<FamilyKeys>;
  /** Its norms; RMS norms unless given. */
  norm?: "layer";
  /** Are neighbouring dimensions turned together, and not the halves of a head? */
  pairsNeighbours?: boolean;
  /** May a part of each head be turned? */
  turnsInPart?: boolean;
  /** What it does otherwise than Llama. */
  differs(keys: FamilyKeys, sizes: FamilySizes): Partial<DecoderConfig>;
}

/** Sizes that rules of families go by. */
export type FamilySizes = Pick<DecoderConfig, "layers" | "heads" | "headDim" | "width">;

/** Keys that some families have. */
const own = {
  "attention.layer_norm_epsilon": positive.optional(),
  use_parallel_residual: z.boolean().optional(),
  "attention.sliding_window": z.int().min(0).optional(),
  "attention.sliding_window_pattern": z.union([size, z.array(z.boolean())]).optional(),
  attn_logit_softcapping: z.number().min(0).optional(),
  final_logit_softcapping: z.number().min(0).optional(),
  "rope.freq_base_swa": positive.optional(),
  "rope.scaling.attn_factor": positive.optional(),
};
type Own = { [K in keyof typeof own]?: z.infer<(typeof own)[K]> };
export type FamilyKeys = ArchitectureKeys & Own;

function schemaWith(...names: (keyof typeof own)[]): z.ZodType<FamilyKeys> {
  const named: Partial<typeof own> = Object.fromEntries(names.map((name) => [name, own[name]]));
  return architectureSchema(named as typeof own);
}

const POST_NORMS = {
  post_attention_norm: "post_attention_layernorm",
  post_ffw_norm: "post_feedforward_layernorm",
};
const BEHIND: { attention: Norms; mlp: Norms } = {
  attention: { after: "post_attention_layernorm" },
  mlp: { after: "post_feedforward_layernorm" },
};
const AROUND: { attention: Norms; mlp: Norms } = {
  attention: { before: "input_layernorm", ...BEHIND.attention },
  mlp: { before: "pre_feedforward_layernorm", ...BEHIND.mlp },
};
const GEMMA_PARTS = { ...POST_NORMS, ffn_norm: "pre_feedforward_layernorm" };

/** The architectures by what files call them. */
export const ggufFamilies: Readonly<Record<string, GgufFamily>> = {
  llama: {
    ...{ architecture: "llama", parts: {}, schema: schemaWith(), pairsNeighbours: true },
    differs: () => ({}),
  },
  qwen2: { architecture: "qwen2", parts: {}, schema: schemaWith(), differs: () => ({}) },
  qwen3: {
    ...{ architecture: "qwen3", parts: {}, schema: schemaWith() },
    differs: () => ({ queryKeyNorm: "head" }),
  },
  olmo2: {
    ...{ architecture: "olmo2", parts: POST_NORMS, schema: schemaWith() },
    differs: () => ({ norms: BEHIND, queryKeyNorm: "whole" }),
  },
  phi3: {
    ...{ architecture: "phi3", turnsInPart: true },
    parts: { attn_qkv: "self_attn.qkv_proj", ffn_up: "mlp.gate_up_proj" },
    schema: schemaWith("attention.sliding_window", "rope.scaling.attn_factor"),
    differs: ({ "attention.sliding_window": window }, { layers }) => ({
      fused: { queryKeyValue: "by-part", gateUp: true },
      ...sliding(window, layers, () => true),
    }),
  },
  gemma2: {
    ...{ architecture: "gemma2", parts: GEMMA_PARTS },
    schema: schemaWith(
      ...(["attention.sliding_window", "attention.sliding_window_pattern", "rope.freq_base_swa"] as const),
      ...(["attn_logit_softcapping", "final_logit_softcapping"] as const),
    ),
    differs: (keys, sizes) => ({
      ...likeGemma(sizes, 46),
      caps: caps(keys.attn_logit_softcapping ?? 50, keys.final_logit_softcapping ?? 30),
      ...sliding(keys["attention.sliding_window"] ?? 4096, sizes.layers, patternOf(keys, 2)),
    }),
  },
  gemma3: {
    ...{ architecture: "gemma3_text", parts: GEMMA_PARTS },
    schema: schemaWith(
      ...(["attention.sliding_window", "attention.sliding_window_pattern", "rope.freq_base_swa"] as const),
      "final_logit_softcapping",
    ),
    differs: (keys, sizes) => ({
      ...likeGemma(sizes, 62),
      queryKeyNorm: "head",
      caps: caps(0, keys.final_logit_softcapping ?? 0),
      ...sliding(keys["attention.sliding_window"], sizes.layers, patternOf(keys, 6)),
    }),
  },
  gptneox: {
    ...{ architecture: "gpt_neox", norm: "layer", turnsInPart: true },
    parts: { attn_qkv: "self_attn.qkv_proj" },
    schema: schemaWith("attention.layer_norm_epsilon", "use_parallel_residual"),
    differs: (keys) => ({
      parallel: keys.use_parallel_residual ?? true,
      mlp: "gelu-tanh",
      fused: { queryKeyValue: "by-head" },
    }),
  },
};

/**
 * Norms around both parts, and embeddings that are scaled. Files hold norms' weights with the 1 that is added to them. What queries
 * are scaled by is no key: llama.cpp tells the largest model by its layers.
 */
function likeGemma(
  { layers, heads, headDim, width }: FamilySizes,
  ofLargest: number,
): Partial<DecoderConfig> {
  return {
    ...{ norms: AROUND, embeddingScale: Math.sqrt(width), mlp: "gated-gelu-tanh" },
    attentionScale: (layers === ofLargest ? Math.floor(width / heads) : headDim) ** -0.5,
  };
}

function caps(attention: number, logits: number): NonNullable<DecoderConfig["caps"]> {
  return { ...(attention && { attention }), ...(logits && { logits }) };
}

/** Which layers have windows: those that are listed, or all but the last of each `period`. */
function patternOf(keys: Own, period: number): (layer: number) => boolean {
  const pattern = keys["attention.sliding_window_pattern"] ?? period;
  return Array.isArray(pattern)
    ? (layer) => pattern[layer] === true
    : (layer) => layer % pattern < pattern - 1;
}

function sliding(
  window: number | undefined,
  layers: number,
  isSliding: (layer: number) => boolean,
): Pick<DecoderConfig, "sliding"> {
  const listed = Array.from({ length: layers }, (_, layer) => layer).filter(isSliding);
  return window && listed.length > 0 ? { sliding: { layers: listed, window } } : {};
}

/** @file The shapes of models, and the names of their activations. */

import { z } from "zod";

/** The embedded model: learned positions, RMS norms without weights, squared-ReLU MLPs, tied embeddings. */
export const characterConfigSchema = z.strictObject({
  architecture: z.literal("probeward-character"),
  /** Every character of the vocabulary; token 0 is the end of text, character i is token i + 1. */
  alphabet: z.string().min(1),
  /** Longest sequence, prompt and completion and end of text together. */
  context: z.int().min(2),
  layers: z.int().min(1),
  heads: z.int().min(1),
  /** Width of the residual stream; a multiple of `heads`. */
  width: z.int().min(1),
  /** Width of the MLPs' hidden layer. */
  hidden: z.int().min(1),
});

/** The shapes of an embedded model. */
export type CharacterConfig = z.infer<typeof characterConfigSchema>;

/** Rotary positions: the angle of each pair of dimensions per position, and a factor on sines and cosines. */
export interface Rotary {
  /** [headDim / 2] radians per position, scaling included. */
  frequencies: readonly number[];
  /** Multiplies sines and cosines; 1 but for yarn. */
  magnitude: number;
}

/** The rank of a low-rank adapter, and what it is scaled by: alpha / rank. */
export interface AdapterSize {
  rank: number;
  alpha: number;
}

/** Low-rank adapters: y = W x + (alpha / rank) B A x at every target (Hu et al. 2021, "LoRA"). */
export interface AdapterConfig extends AdapterSize {
  /** Names of projections or ends of them, as in PEFT: `q_proj`, `mlp.up_proj`, `model.layers.3.self_attn.v_proj`, ... */
  targets: readonly string[];
  /** Modules of other sizes, by their whole names. */
  sizes?: Readonly<Record<string, AdapterSize>>;
  /** Are lengths of the changed matrices' rows trained apart from their directions (Liu et al. 2024, "DoRA")? */
  dora?: boolean;
}

/** What is asked of adapters. */
export interface AdapterChoice extends AdapterSize {
  targets: readonly string[];
  /** Targets of other sizes, by their names or ends of them as in `targets`; the first that fits counts. */
  sizes?: Readonly<Record<string, { rank?: number | undefined; alpha?: number | undefined }>> | undefined;
  dora?: boolean | undefined;
  /** Is alpha divided by the rank's root, not by the rank (Kalajdzievski 2023, "Rank-stabilized LoRA")? */
  rslora?: boolean | undefined;
}

/** Architectures of checkpoints, by `model_type`. */
export type Architecture =
  | "llama"
  | "mistral"
  | "qwen2"
  | "qwen3"
  | "qwen3_moe"
  | "olmo2"
  | "phi3"
  | "gemma2"
  | "gemma3_text"
  | "gpt2"
  | "gpt_neox";

/** The norms before and after a part of a layer, by their names, where it has them. */
export interface Norms {
  before?: string;
  after?: string;
}

/** What is left out is as in Llama: families are told by what they do otherwise. */
export interface DecoderConfig {
  architecture: Architecture;
  vocabulary: number;
  /** Longest sequence in tokens. */
  context: number;
  layers: number;
  heads: number;
  /** Heads of keys and values; `heads / keyValueHeads` heads of queries share one. */
  keyValueHeads: number;
  headDim: number;
  width: number;
  /** Of an MLP: of one expert, where there are some. */
  hidden: number;
  /** `offset` is added to the weights: 1 in Gemma's files, 0 where it is not given. */
  norm: { kind: "rms" | "layer"; epsilon: number; offset?: number };
  /** Where the norms are. */
  norms?: { attention: Norms; mlp: Norms };
  /** Does the MLP read the stream that attention reads, and not what attention adds to it? */
  parallel?: boolean;
  /** What embeddings are multiplied by. */
  embeddingScale?: number;
  /** Positions are rotated into queries and keys, or learned and added where this is null. */
  rotary: Rotary | null;
  /** Layers whose tokens see `window` positions, their own among them, and are turned in another way where one is given. */
  sliding?: { layers: readonly number[]; window: number; rotary?: Rotary };
  /** What products of queries and keys are multiplied by; headDim^-0.5 where it is not given. */
  attentionScale?: number;
  /** Bounds c that scores x of attention, or logits, come near: c tanh(x / c). */
  caps?: { attention?: number; logits?: number };
  /** The activation of the MLP, and whether it gates another product (SwiGLU, GeGLU). */
  mlp: "gated-silu" | "gated-gelu-tanh" | "gelu-tanh" | "gelu" | "squared-relu";
  /**
   * MLPs side by side in each layer, of which a token takes those few that its router gives most, weighted by that (Shazeer et al. 2017,
   * "Outrageously Large Neural Networks"); `normalised`: do the weights of those that are taken add up to 1?
   */
  experts?: { count: number; perToken: number; normalised: boolean };
  /** Are the output logits a product with the embedding? */
  tied: boolean;
  biases: { queryKeyValue: boolean; attentionOut: boolean; mlp: boolean };
  /**
   * Matrices that are one: those to queries, keys and values, whose rows lie one part behind the other or head by head; those to
   * the gate and to what it gates.
   */
  fused?: { queryKeyValue?: "by-part" | "by-head"; gateUp?: boolean };
  /** RMS norms of queries and keys: of each head, as in Qwen3, or of all together. */
  queryKeyNorm: false | "head" | "whole";
  /** Tokens that end a completion. */
  endTokens: readonly number[];
  /** Low-rank adapters that the weights hold beside the checkpoint's own. */
  adapter?: AdapterConfig;
}

/** The norms of a decoder's layers. */
export function normsOf({ norms }: DecoderConfig): { attention: Norms; mlp: Norms } {
  return norms ?? { attention: { before: "input_layernorm" }, mlp: { before: "post_attention_layernorm" } };
}

/** The shapes of a model, of whatever architecture. */
export type ModelConfig = CharacterConfig | DecoderConfig;

/** Is it the embedded character model, and not a checkpoint's? */
export function isEmbedded(config: ModelConfig): config is CharacterConfig {
  return config.architecture === "probeward-character";
}

/** Number of tokens; for the embedded model the alphabet and the end of text. */
export function vocabularySize(config: ModelConfig): number {
  return config.architecture === "probeward-character" ? [...config.alphabet].length + 1 : config.vocabulary;
}

/** Tokens that end a completion. */
export function endTokens(config: ModelConfig): readonly number[] {
  return config.architecture === "probeward-character" ? [0] : config.endTokens;
}

/** Sizes of one layer's keys and values per sequence and position. */
export function cacheHeads(config: ModelConfig): { heads: number; headDim: number } {
  return config.architecture === "probeward-character"
    ? { heads: config.heads, headDim: config.width / config.heads }
    : { heads: config.keyValueHeads, headDim: config.headDim };
}

const SITES = [
  "hook_resid_pre",
  "hook_attn_out",
  "hook_resid_mid",
  "hook_mlp_out",
  "hook_resid_post",
] as const;

/**
 * TransformerLens's names of the activations that can be read, in the order in which they are computed. Where attention and MLP
 * are parallel, there is nothing between them.
 */
export function hookNames({ layers, parallel }: { layers: number; parallel?: boolean }): string[] {
  const sites = SITES.filter((site) => !(parallel && site === "hook_resid_mid"));
  return Array.from({ length: layers }, (_, layer) => sites.map((site) => `blocks.${layer}.${site}`)).flat();
}

/** @throws Error naming a hook that the model lacks, and what it has. */
export function checkHooks(config: Parameters<typeof hookNames>[0], hooks: readonly string[]): void {
  const known = hookNames(config);
  for (const hook of hooks)
    if (!known.includes(hook)) {
      // The names of one layer, for all.
      const names = hookNames({ ...config, layers: 1 }).map((name) => name.replace("blocks.0.", ""));
      throw new Error(
        `model: there is no activation ${JSON.stringify(hook)}; this model has layers 0 to ${config.layers - 1}, and in each, as in blocks.0.${names[0]}: ${names.join(", ")}`,
      );
    }
}

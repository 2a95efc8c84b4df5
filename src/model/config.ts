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

/** Low-rank adapters: y = W x + (alpha / rank) B A x at every target (Hu et al. 2021, "LoRA"). */
export interface AdapterConfig {
  rank: number;
  alpha: number;
  /** Names of projections or ends of them, as in PEFT: `q_proj`, `mlp.up_proj`, `model.layers.3.self_attn.v_proj`, ... */
  targets: readonly string[];
}

/** A decoder-only transformer from a checkpoint: what Llama, Qwen2, Qwen3 and GPT-2 differ in, as settings. */
export interface DecoderConfig {
  architecture: "llama" | "qwen2" | "qwen3" | "gpt2";
  vocabulary: number;
  /** Longest sequence in tokens. */
  context: number;
  layers: number;
  heads: number;
  /** Heads of keys and values; `heads / keyValueHeads` heads of queries share one. */
  keyValueHeads: number;
  headDim: number;
  width: number;
  hidden: number;
  norm: { kind: "rms" | "layer"; epsilon: number };
  /** Positions are rotated into queries and keys, or learned and added where this is null. */
  rotary: Rotary | null;
  /** SiLU-gated (SwiGLU), or GELU by its tanh formula without a gate. */
  mlp: "gated-silu" | "gelu-tanh";
  /** Are the output logits a product with the embedding? */
  tied: boolean;
  biases: { queryKeyValue: boolean; attentionOut: boolean; mlp: boolean };
  /** RMS norms on the queries and keys of each head, as in Qwen3. */
  queryKeyNorm: boolean;
  /** Tokens that end a completion. */
  endTokens: readonly number[];
  /** Low-rank adapters that the weights hold beside the checkpoint's own. */
  adapter?: AdapterConfig;
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

/** TransformerLens's names of the activations that can be read, in the order in which they are computed. */
export function hookNames({ layers }: Pick<ModelConfig, "layers">): string[] {
  return Array.from({ length: layers }, (_, layer) => SITES.map((site) => `blocks.${layer}.${site}`)).flat();
}

/** @throws Error naming a hook that the model lacks, and what it has. */
export function checkHooks(config: Pick<ModelConfig, "layers">, hooks: readonly string[]): void {
  const known = hookNames(config);
  for (const hook of hooks)
    if (!known.includes(hook)) {
      // The names of one layer, for all.
      const names = hookNames({ layers: 1 }).map((name) => name.replace("blocks.0.", ""));
      throw new Error(
        `model: there is no activation ${JSON.stringify(hook)}; this model has layers 0 to ${config.layers - 1}, and in each, as in blocks.0.${names[0]}: ${names.join(", ")}`,
      );
    }
}

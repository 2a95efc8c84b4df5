/** @file The shape of a transformer, and the names of its activations. */

import { z } from "zod";

/** A decoder-only transformer: learned positions, RMS norms without weights, squared-ReLU MLPs, tied embeddings. */
export const modelConfigSchema = z.strictObject({
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

export type ModelConfig = z.infer<typeof modelConfigSchema>;

/** Number of tokens: the alphabet and the end of text. */
export function vocabularySize(config: ModelConfig): number {
  return [...config.alphabet].length + 1;
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

/** @file `config.json` of a Hugging Face checkpoint, as a configuration of ours. */

import { z } from "zod";
import type { DecoderConfig } from "../config.ts";
import { rotary } from "../rotary.ts";

const tokenIds = z.union([z.int(), z.array(z.int())]).nullish();

const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  /** The name before transformers 4.45. */
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  factor: z.number().optional(),
  low_freq_factor: z.number().optional(),
  high_freq_factor: z.number().optional(),
  original_max_position_embeddings: z.number().optional(),
  beta_fast: z.number().optional(),
  beta_slow: z.number().optional(),
  attention_factor: z.number().nullish(),
  truncate: z.boolean().optional(),
});

/** Llama, Qwen2 and Qwen3. */
const llamaSchema = z.looseObject({
  model_type: z.enum(["llama", "qwen2", "qwen3"]),
  vocab_size: z.int().min(1),
  max_position_embeddings: z.int().min(1),
  num_hidden_layers: z.int().min(1),
  num_attention_heads: z.int().min(1),
  num_key_value_heads: z.int().min(1).nullish(),
  head_dim: z.int().min(2).nullish(),
  hidden_size: z.int().min(1),
  intermediate_size: z.int().min(1),
  hidden_act: z.literal("silu").default("silu"),
  rms_norm_eps: z.number().default(1e-6),
  rope_theta: z.number().positive().nullish(),
  rope_scaling: ropeSchema.nullish(),
  /** Transformers 5 keeps theta and scaling together. */
  rope_parameters: ropeSchema.nullish(),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  use_sliding_window: z.literal(false).nullish(),
  eos_token_id: tokenIds,
});

const gpt2Schema = z.looseObject({
  model_type: z.literal("gpt2"),
  vocab_size: z.int().min(1),
  n_positions: z.int().min(1),
  n_layer: z.int().min(1),
  n_head: z.int().min(1),
  n_embd: z.int().min(1),
  n_inner: z.int().nullish(),
  activation_function: z.enum(["gelu_new", "gelu_pytorch_tanh"]).default("gelu_new"),
  layer_norm_epsilon: z.number().default(1e-5),
  scale_attn_weights: z.literal(true).default(true),
  scale_attn_by_inverse_layer_idx: z.literal(false).default(false),
  tie_word_embeddings: z.boolean().default(true),
  eos_token_id: tokenIds,
});

/** What `model_type` may be. */
export const supportedTypes = ["llama", "qwen2", "qwen3", "gpt2"] as const;

/**
 * @param json the contents of `config.json`
 * @param generation the contents of `generation_config.json`, whose end tokens come first
 * @param path the file's name, for error messages
 * @throws Error naming the file and the architecture that is not supported, or the key that is wrong.
 */
export function readDecoderConfig(json: unknown, generation: unknown, path: string): DecoderConfig {
  const { model_type: type, architectures } = (json ?? {}) as {
    model_type?: unknown;
    architectures?: unknown;
  };
  if (!(supportedTypes as readonly unknown[]).includes(type)) {
    const name = Array.isArray(architectures) ? String(architectures[0]) : JSON.stringify(type);
    const found =
      name === undefined
        ? "names no architecture"
        : `the architecture ${name} (model_type ${JSON.stringify(type)}) is not supported`;
    throw new Error(`${path}: ${found}; ${supportedTypes.join(", ")} are supported`);
  }
  const ends = (first: z.infer<typeof tokenIds>): number[] => {
    const preferred = z.looseObject({ eos_token_id: tokenIds }).safeParse(generation).data?.eos_token_id;
    const all = [...new Set([preferred ?? [], first ?? []].flat())];
    if (all.length === 0)
      throw new Error(`${path}: has no eos_token_id, so completions could not end; add it`);
    return all;
  };
  return type === "gpt2"
    ? fromGpt2(parse(gpt2Schema, json, path), ends)
    : fromLlama(parse(llamaSchema, json, path), ends, path);
}

type Ends = (first: z.infer<typeof tokenIds>) => number[];

function fromLlama(json: z.infer<typeof llamaSchema>, ends: Ends, path: string): DecoderConfig {
  const heads = json.num_attention_heads;
  const headDim = json.head_dim ?? json.hidden_size / heads;
  const { rope_type, type, rope_theta, ...scaling } = json.rope_parameters ?? json.rope_scaling ?? {};
  const parameters = {
    ...scaling,
    rope_type: rope_type ?? type ?? "default",
    rope_theta: rope_theta ?? json.rope_theta ?? 10000,
  };
  const positions = () => {
    try {
      return rotary(headDim, json.max_position_embeddings, parameters);
    } catch (error) {
      throw new Error(`${path}: ${(error as Error).message}`);
    }
  };
  const isQwen2 = json.model_type === "qwen2";
  return {
    architecture: json.model_type,
    vocabulary: json.vocab_size,
    context: json.max_position_embeddings,
    layers: json.num_hidden_layers,
    heads,
    keyValueHeads: json.num_key_value_heads ?? heads,
    headDim,
    width: json.hidden_size,
    hidden: json.intermediate_size,
    norm: { kind: "rms", epsilon: json.rms_norm_eps },
    rotary: positions(),
    mlp: "gated-silu",
    tied: json.tie_word_embeddings,
    biases: {
      queryKeyValue: isQwen2 || json.attention_bias,
      attentionOut: !isQwen2 && json.attention_bias,
      mlp: json.mlp_bias,
    },
    queryKeyNorm: json.model_type === "qwen3",
    endTokens: ends(json.eos_token_id),
  };
}

function fromGpt2(json: z.infer<typeof gpt2Schema>, ends: Ends): DecoderConfig {
  return {
    architecture: "gpt2",
    vocabulary: json.vocab_size,
    context: json.n_positions,
    layers: json.n_layer,
    heads: json.n_head,
    keyValueHeads: json.n_head,
    headDim: json.n_embd / json.n_head,
    width: json.n_embd,
    hidden: json.n_inner ?? 4 * json.n_embd,
    norm: { kind: "layer", epsilon: json.layer_norm_epsilon },
    rotary: null,
    mlp: "gelu-tanh",
    tied: json.tie_word_embeddings,
    biases: { queryKeyValue: true, attentionOut: true, mlp: true },
    queryKeyNorm: false,
    endTokens: ends(json.eos_token_id),
  };
}

function parse<T>(schema: z.ZodType<T>, json: unknown, path: string): T {
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

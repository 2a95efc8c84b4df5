/** @file `config.json` of a Hugging Face checkpoint, as a configuration of ours. */

import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { parseForeign } from "../../foreign.ts";
import type { DecoderConfig } from "../config.ts";
import { rotary } from "../rotary.ts";
import { gpt2Schema, llamaSchema, qwenSchema, tokenIds } from "./keys.ts";

/** What `model_type` may be. */
export const supportedTypes = ["llama", "qwen2", "qwen3", "gpt2"] as const;

/**
 * @param json the contents of `config.json`
 * @param generation the contents of `generation_config.json`, whose end tokens count, where it has some
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
    // As transformers has it: the configuration's own count only where that of generation names none.
    const preferred = z.looseObject({ eos_token_id: tokenIds }).safeParse(generation).data?.eos_token_id;
    return [...new Set([preferred ?? first ?? []].flat())];
  };
  return type === "gpt2"
    ? fromGpt2(parseForeign(gpt2Schema, json, path), ends, path)
    : fromLlama(parseForeign<LlamaJson>(type === "llama" ? llamaSchema : qwenSchema, json, path), ends, path);
}

type Ends = (first: z.infer<typeof tokenIds>) => number[];
type LlamaJson = z.infer<typeof llamaSchema> | z.infer<typeof qwenSchema>;

/** Defaults are those of the families' classes in transformers. */
function fromLlama(json: LlamaJson, ends: Ends, path: string): DecoderConfig {
  const isLlama = json.model_type === "llama";
  const heads = json.num_attention_heads;
  const keyValueHeads =
    json.num_key_value_heads === undefined && !isLlama ? 32 : (json.num_key_value_heads ?? heads);
  const headDim =
    json.head_dim ??
    (json.model_type === "qwen3" && json.head_dim === undefined ? 128 : json.hidden_size / heads);
  evenly(heads, keyValueHeads, path);
  const { rope_parameters: rope, rope_scaling: olderRope } = json;
  if (rope && olderRope && !isDeepStrictEqual(rope, olderRope))
    throw new Error(
      `${path}: has rope_scaling and rope_parameters, which differ; remove the one that is wrong`,
    );
  const { rope_type, type, rope_theta, ...scaling } = rope ?? olderRope ?? {};
  const parameters = {
    ...scaling,
    rope_type: rope_type ?? type ?? "default",
    rope_theta: rope_theta ?? json.rope_theta ?? 10000,
  };
  const isQwen2 = json.model_type === "qwen2";
  return {
    architecture: json.model_type,
    vocabulary: json.vocab_size,
    context: json.max_position_embeddings,
    layers: json.num_hidden_layers,
    heads,
    keyValueHeads,
    headDim,
    width: json.hidden_size,
    hidden: json.intermediate_size,
    norm: { kind: "rms", epsilon: json.rms_norm_eps },
    rotary: rotary(headDim, json.max_position_embeddings, parameters, path),
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

function fromGpt2(json: z.infer<typeof gpt2Schema>, ends: Ends, path: string): DecoderConfig {
  return {
    architecture: "gpt2",
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
    queryKeyNorm: false,
    endTokens: ends(json.eos_token_id),
  };
}

/** @throws Error where a number of parts does not divide a whole */
function evenly(whole: number, parts: number, path: string): number {
  if (whole % parts !== 0) throw new Error(`${path}: ${whole} cannot be dealt to ${parts} heads evenly`);
  return whole / parts;
}

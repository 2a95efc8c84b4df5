/** @file A model in one GGUF file: configuration, weights, tokenizer and chat template. */

import { z } from "zod";
import type { Model } from "../checkpoint.ts";
import type { DecoderConfig } from "../config.ts";
import { readWeights } from "../huggingface/weights.ts";
import { rotary } from "../rotary.ts";
import { type GgufFile, openGguf } from "./source.ts";
import { ggufTokenizer } from "./tokenizer.ts";

const supported = ["llama", "qwen2", "qwen3"] as const;

/**
 * Loads a model; weights are unpacked to float32 as they are read.
 *
 * @throws Error naming the file and the architecture, element type, tokenizer or key that is not supported or missing.
 */
export async function loadGguf(path: string): Promise<Model> {
  const file = await openGguf(path);
  try {
    const config = await configOf(file, path);
    const { "rope_freqs.weight": _, ...shapes } = file.shapes;
    const weights = await readWeights({ ...file, shapes }, config, path);
    return { config, weights, tokenizer: ggufTokenizer(file.metadata, config.endTokens, path) };
  } finally {
    await file.close();
  }
}

async function configOf(file: GgufFile, path: string): Promise<DecoderConfig> {
  const { metadata, shapes } = file;
  const name = metadata["general.architecture"];
  const architecture = supported.find((known) => known === name);
  if (architecture === undefined)
    throw new Error(
      `${path}: the architecture ${JSON.stringify(name)} is not supported in GGUF; ${supported.join(", ")} are`,
    );
  const optional = (key: string): number | undefined => {
    const value = metadata[`${architecture}.${key}`];
    return value === undefined ? undefined : z.coerce.number().parse(value);
  };
  const required = (key: string): number => {
    const value = optional(key);
    if (value === undefined || !Number.isFinite(value))
      throw new Error(`${path}: lacks the key ${architecture}.${key}`);
    return value;
  };
  const heads = required("attention.head_count");
  const width = required("embedding_length");
  const context = required("context_length");
  const headDim = optional("attention.key_length") ?? width / heads;
  if ((optional("rope.dimension_count") ?? headDim) !== headDim)
    throw new Error(`${path}: rotates only a part of each head, which is not supported`);
  const scaling = metadata[`${architecture}.rope.scaling.type`];
  const positions = rotary(headDim, context, {
    rope_type: scaling === undefined || scaling === "none" ? "default" : String(scaling),
    rope_theta: optional("rope.freq_base") ?? 10000,
    factor: optional("rope.scaling.factor"),
    original_max_position_embeddings: optional("rope.scaling.original_context_length"),
  });
  // Llama 3's scaling is stored as a divisor for each frequency.
  const divisors = shapes["rope_freqs.weight"] && (await file.read("rope_freqs.weight")).data;
  const vocabulary = shapes["model.embed_tokens.weight"]?.[0];
  if (vocabulary === undefined) throw new Error(`${path}: lacks the tensor token_embd.weight`);
  const end = metadata["tokenizer.ggml.eos_token_id"];
  if (end === undefined) throw new Error(`${path}: lacks the key tokenizer.ggml.eos_token_id`);
  const bias = "model.layers.0.self_attn.q_proj.bias" in shapes;
  return {
    architecture,
    vocabulary,
    context,
    layers: required("block_count"),
    heads,
    keyValueHeads: optional("attention.head_count_kv") ?? heads,
    headDim,
    width,
    hidden: required("feed_forward_length"),
    norm: { kind: "rms", epsilon: required("attention.layer_norm_rms_epsilon") },
    rotary: divisors
      ? { ...positions, frequencies: positions.frequencies.map((frequency, i) => frequency / divisors[i]!) }
      : positions,
    mlp: "gated-silu",
    tied: !("lm_head.weight" in shapes),
    biases: { queryKeyValue: bias, attentionOut: false, mlp: false },
    queryKeyNorm: architecture === "qwen3",
    endTokens: [Number(end)],
  };
}

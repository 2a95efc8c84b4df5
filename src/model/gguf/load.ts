/** @file A model in one GGUF file: configuration, weights, tokenizer and chat template. */

import type { z } from "zod";
import { parseForeign, shown } from "../../foreign.ts";

import type { DecoderConfig, Rotary } from "../config.ts";
import type { Keeping } from "../fit.ts";
import { readWeights } from "../huggingface/weights.ts";
import { rotary } from "../rotary.ts";
import type { LoadedModel } from "../types.ts";
import { architectureSchema, fileSchema } from "./keys.ts";
import { type GgufFile, type GgufMetadata, openGguf } from "./source.ts";
import { ggufTokenizer } from "./tokenizer.ts";

/** Llama 3's scaling of rotary positions is stored as a divisor for each frequency. */
const DIVISORS = "rope_freqs.weight";

const supported = ["llama", "qwen2", "qwen3"] as const;

/**
 * Loads a model; weights are unpacked to float32 as they are read.
 *
 * @throws Error naming the file and the architecture, element type, tokenizer or key that is not supported or missing.
 */
export async function loadGguf(path: string, kept?: Keeping): Promise<LoadedModel> {
  const file = await openGguf(path);
  try {
    const decoder = await configOf(file, path);
    const { tokenizer, endTokens } = ggufTokenizer(file.metadata, decoder.vocabulary, path);
    const config = { ...decoder, endTokens };
    const { [DIVISORS]: _, ...shapes } = file.shapes;
    const source = config.architecture === "llama" ? { ...file, shapes } : file;
    const weights = await readWeights(source, config, path, kept);
    return { config, weights, tokenizer };
  } finally {
    await file.close();
  }
}

async function configOf(file: GgufFile, path: string): Promise<Omit<DecoderConfig, "endTokens">> {
  const { metadata, shapes } = file;
  const name = metadata["general.architecture"];
  const architecture = supported.find((known) => known === name);
  if (architecture === undefined)
    throw new Error(
      `${path}: the architecture ${shown(name)} is not supported in GGUF; ${supported.join(", ")} are`,
    );
  const keys = keysOf(metadata, architecture, path);
  const heads = keys["attention.head_count"];
  const keyValueHeads = keys["attention.head_count_kv"] ?? heads;
  const width = keys.embedding_length;
  const headDim = keys["attention.key_length"] ?? width / heads;
  for (const key of ["attention.value_length", "rope.dimension_count"] as const)
    if ((keys[key] ?? headDim) !== headDim)
      throw new Error(
        `${path}: ${architecture}.${key} is ${keys[key]}, and heads have ${headDim} dimensions; other numbers are not supported`,
      );
  if (heads % keyValueHeads !== 0)
    throw new Error(`${path}: ${keyValueHeads} heads of keys cannot be shared by ${heads} evenly`);
  const vocabulary = shapes["model.embed_tokens.weight"]?.[0];
  if (vocabulary === undefined) throw new Error(`${path}: lacks the tensor token_embd.weight`);
  const hasBias = (part: string) => `model.layers.0.${part}.bias` in shapes;
  return {
    architecture,
    vocabulary,
    context: keys.context_length,
    layers: keys.block_count,
    heads,
    keyValueHeads,
    headDim,
    width,
    hidden: keys.feed_forward_length,
    norm: { kind: "rms", epsilon: keys["attention.layer_norm_rms_epsilon"] },
    rotary: await rotaryOf(file, keys, headDim, path),
    mlp: "gated-silu",
    tied: !("lm_head.weight" in shapes),
    biases: {
      queryKeyValue: hasBias("self_attn.q_proj"),
      attentionOut: hasBias("self_attn.o_proj"),
      mlp: hasBias("mlp.down_proj"),
    },
    queryKeyNorm: architecture === "qwen3" && "head",
  };
}

type Keys = z.infer<typeof architectureSchema>;

/** The architecture's keys, after all have been looked at. */
function keysOf(metadata: GgufMetadata, architecture: string, path: string): Keys {
  const prefix = `${architecture}.`;
  const own: Record<string, unknown> = {};
  const others: Record<string, unknown> = {};
  for (const [key, stored] of Object.entries(metadata)) {
    const value = typeof stored === "bigint" ? Number(stored) : stored;
    if (key.startsWith(prefix)) own[key.slice(prefix.length)] = value;
    else if (!key.startsWith("tokenizer.")) others[key] = value;
  }
  parseForeign(fileSchema, others, path);
  return parseForeign(architectureSchema, own, `${path}, keys that begin with ${prefix}`);
}

/** Rotary positions as llama.cpp scales them: linearly, where there is a factor and no type. */
async function rotaryOf(file: GgufFile, keys: Keys, headDim: number, path: string): Promise<Rotary> {
  const factor = keys["rope.scaling.factor"] ?? keys["rope.scale_linear"];
  const parameters = {
    rope_type: keys["rope.scaling.type"] === "none" ? "default" : keys["rope.scaling.type"],
    rope_theta: keys["rope.freq_base"],
    // 0 says that there is none.
    factor: factor || 1,
    original_max_position_embeddings: keys["rope.scaling.original_context_length"],
    beta_fast: keys["rope.scaling.yarn_beta_fast"],
    beta_slow: keys["rope.scaling.yarn_beta_slow"],
  };
  const plain = rotary(headDim, keys.context_length, parameters, path);
  if (!(DIVISORS in file.shapes)) return plain;
  const { data } = await file.read(DIVISORS);
  if (data.length !== plain.frequencies.length || !data.every((x) => x > 0 && x < Number.POSITIVE_INFINITY))
    throw new Error(
      `${path}: ${DIVISORS} are not ${plain.frequencies.length} positive numbers, one for each frequency`,
    );
  return { ...plain, frequencies: plain.frequencies.map((frequency, i) => frequency / data[i]!) };
}

/** @file A model in one GGUF file: configuration, weights, tokenizer and chat template. */

import { parseForeign, shown } from "../../foreign.ts";

import type { DecoderConfig, Rotary } from "../config.ts";
import type { Keeping } from "../fit.ts";
import { readWeights } from "../huggingface/weights.ts";
import { rotary } from "../rotary.ts";
import type { LoadedModel } from "../types.ts";
import { type FamilyKeys, type GgufFamily, ggufFamilies } from "./families.ts";
import { fileSchema } from "./keys.ts";
import { type GgufFile, type GgufMetadata, openGguf } from "./source.ts";
import { ggufTokenizer } from "./tokenizer.ts";

/** Tensors that say how heads are turned: divisors of frequencies, as Llama 3 has them, and a Phi-3 for short and long sequences. */
const [DIVISORS, SHORT, LONG] = ["rope_freqs", "rope_factors_short", "rope_factors_long"].map(
  (name) => `${name}.weight`,
) as [string, string, string];

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
    const ofTurns =
      config.architecture === "phi3" ? [SHORT, LONG] : config.architecture === "llama" ? [DIVISORS] : [];
    const shapes = Object.entries(file.shapes).filter(([name]) => !ofTurns.includes(name));
    const source = { ...file, shapes: Object.fromEntries(shapes) };
    const weights = await readWeights(source, config, path, kept);
    return { config, weights, tokenizer };
  } finally {
    await file.close();
  }
}

async function configOf(file: GgufFile, path: string): Promise<Omit<DecoderConfig, "endTokens">> {
  const { metadata, shapes } = file;
  const name = metadata["general.architecture"];
  const family =
    typeof name === "string" && Object.hasOwn(ggufFamilies, name) ? ggufFamilies[name] : undefined;
  if (family === undefined)
    throw new Error(
      `${path}: the architecture ${shown(name)} is not supported in GGUF; ${Object.keys(ggufFamilies).join(", ")} are`,
    );
  const keys = keysOf(metadata, name as string, family, path);
  const heads = keys["attention.head_count"];
  const keyValueHeads = keys["attention.head_count_kv"] ?? heads;
  const width = keys.embedding_length;
  const headDim = keys["attention.key_length"] ?? width / heads;
  for (const key of ["attention.value_length", "rope.dimension_count"] as const) {
    if (key === "rope.dimension_count" && family.turnsInPart) continue;
    if ((keys[key] ?? headDim) !== headDim)
      throw new Error(
        `${path}: ${name}.${key} is ${keys[key]}, and heads have ${headDim} dimensions; other numbers are not supported`,
      );
  }
  if (heads % keyValueHeads !== 0)
    throw new Error(`${path}: ${keyValueHeads} heads of keys cannot be shared by ${heads} evenly`);
  const vocabulary = shapes["model.embed_tokens.weight"]?.[0];
  if (vocabulary === undefined) throw new Error(`${path}: lacks the tensor token_embd.weight`);
  const hasBias = (part: string) => `model.layers.0.${part}.bias` in shapes;
  const sizes = { layers: keys.block_count, heads, headDim, width };
  const { norm = "rms" } = family;
  const ofNorm = norm === "layer" ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
  const epsilon = keys[ofNorm];
  if (epsilon === undefined) throw new Error(`${path}: lacks the key ${name}.${ofNorm}`);
  const config: Omit<DecoderConfig, "endTokens"> = {
    ...{
      ...sizes,
      vocabulary,
      keyValueHeads,
      context: keys.context_length,
      hidden: keys.feed_forward_length,
    },
    architecture: family.architecture,
    rotary: null,
    mlp: "gated-silu",
    tied: !("lm_head.weight" in shapes),
    biases: {
      queryKeyValue: hasBias("self_attn.q_proj") || hasBias("self_attn.qkv_proj"),
      attentionOut: hasBias("self_attn.o_proj"),
      mlp: hasBias("mlp.down_proj"),
    },
    queryKeyNorm: false,
    ...family.differs(keys, sizes),
    norm: { kind: norm, epsilon },
  };
  return { ...config, ...(await turnsOf(file, keys, config, path)) };
}

/** How heads are turned: in all layers, and in those with windows where a family turns them otherwise. */
async function turnsOf(
  file: GgufFile,
  keys: FamilyKeys,
  { architecture, headDim, context, sliding }: Omit<DecoderConfig, "endTokens">,
  path: string,
): Promise<Partial<DecoderConfig>> {
  const turned = keys["rope.dimension_count"] ?? headDim;
  const original = keys["rope.scaling.original_context_length"];
  if (architecture === "phi3" && SHORT in file.shapes) {
    const factors = {
      ...{ rope_type: "longrope", rope_theta: keys["rope.freq_base"] },
      short_factor: Array.from((await file.read(SHORT)).data),
      original_max_position_embeddings: original,
      attention_factor: keys["rope.scaling.attn_factor"],
    };
    const within = Math.min(context, original ?? context);
    return { rotary: rotary(turned, context, factors, path), context: within };
  }
  const all = await rotaryOf(file, keys, turned, path);
  if (!sliding || !architecture.startsWith("gemma")) return { rotary: all };
  // A Gemma 2 turns all alike; a Gemma 3 those with windows by a base of their own, and does not scale them.
  const theta = keys["rope.freq_base_swa"] ?? (architecture === "gemma2" ? undefined : 10_000);
  if (theta === undefined) return { rotary: all };
  const own = rotary(turned, context, { rope_type: "default", rope_theta: theta }, path);
  return { rotary: all, sliding: { ...sliding, rotary: own } };
}

/** The architecture's keys, after all have been looked at. */
function keysOf(
  metadata: GgufMetadata,
  architecture: string,
  { schema }: GgufFamily,
  path: string,
): FamilyKeys {
  const prefix = `${architecture}.`;
  const own: Record<string, unknown> = {};
  const others: Record<string, unknown> = {};
  for (const [key, stored] of Object.entries(metadata)) {
    const value = typeof stored === "bigint" ? Number(stored) : stored;
    if (key.startsWith(prefix)) own[key.slice(prefix.length)] = value;
    else if (!key.startsWith("tokenizer.")) others[key] = value;
  }
  parseForeign(fileSchema, others, path);
  return parseForeign(schema, own, `${path}, keys that begin with ${prefix}`);
}

/** Rotary positions as llama.cpp scales them: linearly, where there is a factor and no type. */
async function rotaryOf(file: GgufFile, keys: FamilyKeys, headDim: number, path: string): Promise<Rotary> {
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

/** @file What a model is without its weights: a configuration, from a folder or by the name of a shape that is known. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { parseJson, readText } from "../files.ts";
import { characterConfigSchema, type ModelConfig } from "./config.ts";
import { weightShapes } from "./transformer.ts";
import type { Weights } from "./types.ts";

/** Columns: layers, width, hidden, heads, heads of keys and values, vocabulary, whether output and embedding are one. */
type Shape = [number, number, number, number, number, number, boolean];

const qwen3 = (...shape: Shape) => sized({ model_type: "qwen3", head_dim: 128, rope_theta: 1e6 }, shape);
const qwen2 = (...shape: Shape) => sized({ model_type: "qwen2", rope_theta: 1e6 }, shape);
const llama = (...shape: Shape) => sized({ model_type: "llama", rope_theta: 5e5 }, shape);

/** What `config.json` says of sizes, by the names of the releases. */
const SHAPES: Readonly<Record<string, object>> = {
  "smollm2-135m": llama(30, 576, 1536, 9, 3, 49152, true),
  "qwen2.5-0.5b": qwen2(24, 896, 4864, 14, 2, 151936, true),
  "qwen2.5-1.5b": qwen2(28, 1536, 8960, 12, 2, 151936, true),
  "qwen2.5-3b": qwen2(36, 2048, 11008, 16, 2, 151936, true),
  "qwen2.5-7b": qwen2(28, 3584, 18944, 28, 4, 152064, false),
  "qwen2.5-32b": qwen2(64, 5120, 27648, 40, 8, 152064, false),
  "qwen2.5-72b": qwen2(80, 8192, 29568, 64, 8, 152064, false),
  "qwen3-0.6b": qwen3(28, 1024, 3072, 16, 8, 151936, true),
  "qwen3-1.7b": qwen3(28, 2048, 6144, 16, 8, 151936, true),
  "qwen3-4b": qwen3(36, 2560, 9728, 32, 8, 151936, true),
  "qwen3-8b": qwen3(36, 4096, 12288, 32, 8, 151936, false),
  "qwen3-14b": qwen3(40, 5120, 17408, 40, 8, 151936, false),
  "qwen3-32b": qwen3(64, 5120, 25600, 64, 8, 151936, false),
  "llama-1b": llama(16, 2048, 8192, 32, 8, 128256, true),
  "llama-3b": llama(28, 3072, 8192, 24, 8, 128256, true),
  "llama-8b": llama(32, 4096, 14336, 32, 8, 128256, false),
  "llama-70b": llama(80, 8192, 28672, 64, 8, 128256, false),
};

/** Shapes by the names that `aboutModel` knows: Llama's are those of 3.1 and 3.2. */
export const shapeNames: readonly string[] = Object.keys(SHAPES);

function sized(family: object, [layers, width, hidden, heads, keyValueHeads, vocabulary, tied]: Shape) {
  return {
    ...family,
    ...{ num_hidden_layers: layers, hidden_size: width, intermediate_size: hidden, vocab_size: vocabulary },
    ...{ num_attention_heads: heads, num_key_value_heads: keyValueHeads, tie_word_embeddings: tied },
    ...{ max_position_embeddings: 32768, eos_token_id: vocabulary - 1 },
  };
}

/**
 * The configuration of a model: of a folder with `config.json`, whose other files are not looked at, or of a shape by its name.
 *
 * @throws Error naming the file that is missing or wrong, or the names that there are
 */
export async function aboutModel(model: string): Promise<ModelConfig> {
  const path = join(model, "config.json");
  const shape = SHAPES[model.toLowerCase()];
  // What reads formats of others is large: it is loaded where it is needed.
  const { readDecoderConfig } = await import("./huggingface/config.ts");
  if (shape && !existsSync(path)) return readDecoderConfig(shape, null, model);
  const text = await readText(path);
  if (text === undefined)
    throw new Error(
      `${model}: ${path} cannot be read. A folder with the model's config.json does; so does the name of a shape: ${shapeNames.join(", ")}`,
    );
  const json = parsed(text, path);
  if ((json as { architecture?: unknown } | null)?.architecture !== "probeward-character")
    return readDecoderConfig(json, null, path);
  const config = characterConfigSchema.safeParse(json);
  if (!config.success) throw new Error(`${path}: ${z.prettifyError(config.error)}`);
  return config.data;
}

function parsed(text: string, path: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new Error(`${path} is not valid: ${(error as Error).message}`);
  }
}

/** Weights that have shapes and no numbers, for runtimes that compute nothing. Whoever asks for numbers is refused. */
export function shapesOnly(config: ModelConfig): Weights {
  const shapes = Object.entries(weightShapes(config)).map(([name, shape]) => [
    name,
    {
      ...{ shape, dtype: "float32" },
      get data(): Float32Array {
        throw new Error(`model: ${name} has a shape and no numbers`);
      },
    },
  ]);
  return Object.fromEntries(shapes);
}

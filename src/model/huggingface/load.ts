/** @file A checkpoint in Hugging Face's layout: `config.json`, safetensors, `tokenizer.json`. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Model } from "../checkpoint.ts";
import { readDecoderConfig } from "./config.ts";
import { HuggingFaceTokenizer, type TokenizerSettings } from "./tokenizer.ts";
import { loadDecoderWeights } from "./weights.ts";

/**
 * @param json the contents of the folder's `config.json`
 * @throws Error naming the file that is missing or wrong, or the architecture that is not supported.
 */
export async function loadHuggingFace(folder: string, json: unknown): Promise<Model> {
  const generation = await readJson(join(folder, "generation_config.json"));
  const config = readDecoderConfig(json, generation, join(folder, "config.json"));
  const tokenizer = await loadTokenizer(folder, config.endTokens);
  return { config, tokenizer, weights: await loadDecoderWeights(folder, config) };
}

/** @throws Error where `tokenizer.json` is missing. */
export async function loadTokenizer(folder: string, ends: readonly number[]): Promise<HuggingFaceTokenizer> {
  const path = join(folder, "tokenizer.json");
  const json = await readJson(path);
  if (json === null) throw new Error(`${path}: is missing; a checkpoint needs its tokenizer in this form`);
  const settings = ((await readJson(join(folder, "tokenizer_config.json"))) ?? {}) as TokenizerSettings;
  // Newer checkpoints keep the template in a file of its own.
  const template = await readFile(join(folder, "chat_template.jinja"), "utf8").catch(() => null);
  return new HuggingFaceTokenizer(
    json,
    template === null ? settings : { ...settings, chat_template: template },
    ends,
  );
}

/** The contents of a JSON file; null where there is none. */
async function readJson(path: string): Promise<object | null> {
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) return null;
  try {
    return JSON.parse(text) as object;
  } catch {
    throw new Error(`${path}: is not JSON; the checkpoint is damaged, copy it again`);
  }
}

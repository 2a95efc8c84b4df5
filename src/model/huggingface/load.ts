/** @file A checkpoint in Hugging Face's layout: `config.json`, safetensors, `tokenizer.json`. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { parseJson, readText } from "../../files.ts";

import type { DecoderConfig } from "../config.ts";
import type { Keeping } from "../fit.ts";
import type { Tokenizer } from "../tokenizer.ts";
import type { LoadedModel } from "../types.ts";
import { settingsSchema, type TokenizerSettings, textOf } from "./added-tokens.ts";
import { readDecoderConfig } from "./config.ts";
import { huggingFaceTokenizer } from "./tokenizer.ts";
import { loadDecoderWeights } from "./weights.ts";

/**
 * @param json the contents of the folder's `config.json`
 * @throws Error naming the file that is missing or wrong, or the architecture that is not supported.
 */
export async function loadHuggingFace(folder: string, json: unknown, kept?: Keeping): Promise<LoadedModel> {
  if (existsSync(join(folder, "adapter_config.json")))
    throw new Error(
      `${folder}: has config.json and adapter_config.json, a model and an adapter, and what they are together depends on who reads them; give each a folder of its own`,
    );
  const about = await readAbout(folder, json);
  return { ...about, weights: await loadDecoderWeights(folder, about.config, kept) };
}

/** What a checkpoint is apart from its weights, which need not be there yet. @throws Error as `loadHuggingFace` does */
export async function readAbout(
  folder: string,
  json: unknown,
): Promise<{ config: DecoderConfig; tokenizer: Tokenizer }> {
  const generation = await readJson(join(folder, "generation_config.json"));
  const read = readDecoderConfig(json, generation, join(folder, "config.json"));
  const tokenizer = await loadTokenizer(folder, read.endTokens, read.vocabulary);
  const config = { ...read, endTokens: [...new Set([...read.endTokens, tokenizer.endOfText])] };
  return { config, tokenizer };
}

/**
 * @param ends tokens at which the model's completions end
 * @param vocabulary the model's number of tokens
 * @throws Error where `tokenizer.json` is missing, or it or a file beside it is wrong
 */
export async function loadTokenizer(
  folder: string,
  ends: readonly number[],
  vocabulary: number,
): Promise<Tokenizer> {
  const path = join(folder, "tokenizer.json");
  const json = await readJson(path);
  if (json === null) throw new Error(`${path}: is missing; a checkpoint needs its tokenizer in this form`);
  const settings = await readSettings(folder);
  // Newer checkpoints keep the template in a file of its own.
  const template = await readText(join(folder, "chat_template.jinja"));
  return huggingFaceTokenizer({
    json,
    settings: template === undefined ? settings : { ...settings, chat_template: template },
    ...{ ends, vocabulary, path },
  });
}

/** `tokenizer_config.json`; where it does not list added tokens, it is an older one, with files beside it that do. */
async function readSettings(folder: string): Promise<TokenizerSettings> {
  const settings = await readParsed(join(folder, "tokenizer_config.json"), settingsSchema);
  if (settings?.added_tokens_decoder) return settings;
  const named = await readParsed(join(folder, "special_tokens_map.json"), settingsSchema);
  const older = { ...settings, ...named };
  const added = await readParsed(join(folder, "added_tokens.json"), z.record(z.string(), z.int().min(0)));
  const special = new Set(Object.values(older).flatMap((value) => textOf(value as never) ?? []));
  return {
    ...older,
    added_tokens_decoder: Object.fromEntries(
      Object.entries(added ?? {}).map(([content, id]) => [id, { content, special: special.has(content) }]),
    ),
  };
}

async function readParsed<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const json = await readJson(path);
  if (json === null) return undefined;
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** The contents of a JSON file; null where there is none. */
async function readJson(path: string): Promise<unknown> {
  const text = await readText(path);
  if (text === undefined) return null;
  try {
    return parseJson(text);
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}; the checkpoint is damaged, copy it again`);
  }
}

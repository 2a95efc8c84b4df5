/** @file A model on disk: a folder with `config.json` and `model.safetensors`. */

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { parseJson, writeJson } from "../files.ts";
import { openSafetensors, roundToHalves, safetensorsPieces, writeSafetensors } from "../tensor/index.ts";
import { trainableShapes } from "./adapter.ts";
import { type CharacterConfig, characterConfigSchema, isEmbedded, type ModelConfig } from "./config.ts";
import { checkLayers, fittingWeights, type Keeping } from "./fit.ts";
import { CharacterTokenizer } from "./tokenizer.ts";
import type { LoadedModel, Weights } from "./types.ts";

/** Writes both files of an embedded model, each whole at any moment, and makes the folder. @throws FileError */
export async function saveModel(
  folder: string,
  { config, weights }: { config: CharacterConfig; weights: Weights },
): Promise<void> {
  await writeSafetensors(join(folder, "model.safetensors"), weights);
  await writeJson(join(folder, "config.json"), config);
}

/** Writes an embedded model that is there again, in half the bytes: its weights are rounded to IEEE 754 halves. */
export async function halveModel(folder: string): Promise<void> {
  const { weights } = await loadModel(folder);
  const halves = Object.entries(weights).map(([name, { shape, data }]) => [
    name,
    { shape, data: roundToHalves(data) },
  ]);
  await writeSafetensors(join(folder, "model.safetensors"), Object.fromEntries(halves));
}

/**
 * Loads an embedded model, a checkpoint in Hugging Face's layout, or a GGUF file.
 *
 * @param folder the model's folder, or its `.gguf` file
 * @param kept how a checkpoint's matrices are kept; an embedded model's are float32
 * @throws Error naming the file that is missing, malformed, of an architecture that is not supported or of other shapes.
 */
export async function loadModel(folder: string, kept?: Keeping): Promise<LoadedModel> {
  // What reads formats of others is large: it is loaded where it is needed.
  if (folder.endsWith(".gguf")) return (await import("./gguf/load.ts")).loadGguf(folder, kept);
  const path = join(folder, "config.json");
  const json = parseConfig(path, await readFile(path, "utf8").catch(() => missing(folder, path)));
  if ((json as { architecture?: unknown } | null)?.architecture !== "probeward-character")
    return (await import("./huggingface/load.ts")).loadHuggingFace(folder, json, kept);
  const parsed = characterConfigSchema.safeParse(json);
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  const config = parsed.data;
  const weights = await loadWeights(join(folder, "model.safetensors"), config);
  return { config, weights, tokenizer: new CharacterTokenizer(config.alphabet) };
}

/** Reads what is trained of a model, and checks that it is that of the configuration. */
export async function loadWeights(path: string, config: ModelConfig): Promise<Weights> {
  const source = await openSafetensors(path);
  try {
    // An adapter has tensors for some layers; those of its model were counted.
    if (isEmbedded(config) || !config.adapter) checkLayers(config.layers, source, path);
    return await fittingWeights(source, trainableShapes(config), path);
  } finally {
    await source.close();
  }
}

/** SHA-256 of the weights as one safetensors file would hold them, taken tensor by tensor where they lie. */
export function weightsSha256(weights: Weights): string {
  const hash = createHash("sha256");
  for (const piece of safetensorsPieces(weights)) hash.update(piece);
  return hash.digest("hex");
}

function parseConfig(path: string, text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new Error(
      `${path} is not valid: ${(error as Error).message}. The model's folder is damaged, make or copy it again`,
    );
  }
}

function missing(folder: string, path: string): never {
  const what = existsSync(join(folder, "adapter_config.json"))
    ? "an adapter, and not a model"
    : "not a model";
  throw new Error(`${folder} is ${what}: ${path} cannot be read`);
}

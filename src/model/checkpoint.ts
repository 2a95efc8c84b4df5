/** @file A model on disk: a folder with `config.json` and `model.safetensors`. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { parseJson, writeJson } from "../files.ts";
import { type FloatTensor, readSafetensors, writeSafetensors } from "../tensor/index.ts";
import { type ModelConfig, modelConfigSchema } from "./config.ts";
import { type Weights, weightShapes } from "./transformer.ts";

export interface Model {
  config: ModelConfig;
  weights: Weights;
}

/** Writes both files, each whole at any moment, and makes the folder. @throws FileError */
export async function saveModel(folder: string, { config, weights }: Model): Promise<void> {
  await writeSafetensors(join(folder, "model.safetensors"), weights);
  await writeJson(join(folder, "config.json"), config);
}

/** @throws Error naming the file that is missing, malformed, of another architecture or of other shapes. */
export async function loadModel(folder: string): Promise<Model> {
  const path = join(folder, "config.json");
  const config = parseConfig(path, await readFile(path, "utf8").catch(() => missing(folder, path)));
  const weights = await loadWeights(join(folder, "model.safetensors"), config);
  return { config, weights };
}

/** Reads weights and checks that they are those of the configuration. */
export async function loadWeights(path: string, config: ModelConfig): Promise<Weights> {
  const { tensors } = await readSafetensors(path);
  const shapes = weightShapes(config);
  const surplus = Object.keys(tensors).filter((name) => !(name in shapes));
  if (surplus.length > 0)
    throw new Error(`${path}: has tensors that its configuration has no place for: ${surplus.join(", ")}`);
  const weights: Weights = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const tensor = tensors[name];
    if (tensor === undefined) throw new Error(`${path}: lacks the tensor ${name} [${shape}]`);
    if (tensor.dtype !== "float32" || tensor.shape.join() !== shape.join())
      throw new Error(
        `${path}: ${name} is ${tensor.dtype}[${tensor.shape}]; its configuration wants float32[${shape}]`,
      );
    weights[name] = tensor as FloatTensor;
  }
  return weights;
}

function parseConfig(path: string, text: string): ModelConfig {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (error) {
    throw new Error(
      `${path} is not valid: ${(error as Error).message}. The model's folder is damaged, make or copy it again`,
    );
  }
  const architecture = (json as { architecture?: unknown; model_type?: unknown } | null)?.architecture;
  if (architecture !== "probeward-character")
    throw new Error(
      `${path}: ${architecture === undefined ? "names no architecture" : `architecture ${JSON.stringify(architecture)} is not supported`}; this version trains "probeward-character"`,
    );
  const parsed = modelConfigSchema.safeParse(json);
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

function missing(folder: string, path: string): never {
  throw new Error(`${folder} is not a model: ${path} cannot be read`);
}

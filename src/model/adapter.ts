/** @file Low-rank adapters (Hu et al. 2021, "LoRA"): what is trained beside frozen weights, and its files in PEFT's format. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeJson } from "../files.ts";
import type { Random } from "../random.ts";
import { type FloatTensor, floats, readSafetensors, writeSafetensors } from "../tensor/index.ts";
import type { AdapterConfig, DecoderConfig, ModelConfig } from "./config.ts";
import { adapterShapes, projections } from "./decoder.ts";
import { type Weights, weightShapes } from "./transformer.ts";

/**
 * The configuration with adapters. Weights of the plain configuration go on serving as the reference; an adapted model's
 * are the same tensors and the adapter's beside them, `{ ...weights, ...adapter }`: nothing frozen is held twice.
 *
 * @throws Error where the architecture takes no adapters, or has no projection of that name.
 */
export function withAdapter(config: ModelConfig, adapter: AdapterConfig): DecoderConfig {
  if (config.architecture === "probeward-character" || config.architecture === "gpt2")
    throw new Error(`adapter: the architecture ${config.architecture} takes none; train all of its weights`);
  const known = Object.keys(projections(config));
  const unknown = adapter.targets.filter((target) => !known.includes(target));
  if (unknown.length > 0 || adapter.targets.length === 0)
    throw new Error(
      `adapter: ${unknown.length > 0 ? `there is no projection ${unknown.join(", ")}` : "it has no targets"}; this model has ${known.join(", ")}`,
    );
  return { ...config, adapter };
}

/** Shapes of what training changes: the adapter where a model has one, all weights elsewhere. */
export function trainableShapes(config: ModelConfig): Record<string, number[]> {
  return config.architecture !== "probeward-character" && config.adapter
    ? adapterShapes(config)
    : weightShapes(config);
}

/** Weights by whether training changes them. */
export function splitWeights<T>(
  config: ModelConfig,
  weights: Record<string, T>,
): { trained: Record<string, T>; frozen: Record<string, T> } {
  const shapes = trainableShapes(config);
  const where = (trained: boolean) =>
    Object.fromEntries(Object.entries(weights).filter(([name]) => name in shapes === trained));
  return { trained: where(true), frozen: where(false) };
}

/** A fresh adapter that changes nothing yet: A uniform within 1 / sqrt(inputs), as PEFT draws it, and B zero. */
export function initialAdapter(config: DecoderConfig, random: Random): Weights {
  const weights: Weights = {};
  for (const [name, shape] of Object.entries(adapterShapes(config))) {
    const tensor = floats(shape);
    const bound = shape[1]! ** -0.5;
    if (name.endsWith("lora_A.weight"))
      for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = bound * (2 * random() - 1);
    weights[name] = tensor;
  }
  return weights;
}

/** How PEFT calls the tensors of a causal language model. */
const PREFIX = "base_model.model.";

/**
 * Writes `adapter_model.safetensors` and `adapter_config.json` as PEFT does.
 *
 * @param weights the adapter's tensors; others are left out
 * @param base what the adapter belongs to, a path or a repository's name
 * @throws FileError
 */
export async function saveAdapter(
  folder: string,
  config: DecoderConfig,
  weights: Weights,
  base: string,
): Promise<void> {
  const { adapter } = config;
  if (adapter === undefined) throw new Error("adapter: this model has none to save");
  const { trained } = splitWeights(config, weights);
  const tensors = Object.entries(trained).map(([name, tensor]) => [`${PREFIX}${name}`, tensor]);
  await writeSafetensors(join(folder, "adapter_model.safetensors"), Object.fromEntries(tensors), {
    format: "pt",
  });
  const path = join(folder, "adapter_config.json");
  const settings = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: base,
    r: adapter.rank,
    lora_alpha: adapter.alpha,
    target_modules: [...adapter.targets],
    lora_dropout: 0,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
  };
  await writeJson(path, settings);
}

/** What is read of `adapter_config.json`; kinds of adapters that work otherwise are refused. */
const adapterSchema = z.looseObject({
  peft_type: z.literal("LORA"),
  r: z.int().min(1),
  lora_alpha: z.number(),
  target_modules: z.array(z.string()),
  bias: z.literal("none").default("none"),
  use_dora: z.literal(false).nullish(),
  use_rslora: z.literal(false).nullish(),
  fan_in_fan_out: z.literal(false).nullish(),
  modules_to_save: z.array(z.never()).nullish(),
  rank_pattern: z.record(z.string(), z.never()).nullish(),
  alpha_pattern: z.record(z.string(), z.never()).nullish(),
  layers_to_transform: z.null().optional(),
});

/**
 * Reads an adapter that PEFT or `saveAdapter` wrote, for a model.
 *
 * @returns the model's configuration with the adapter, and the adapter's tensors
 * @throws Error naming the file and the setting, tensor or shape that does not fit.
 */
export async function loadAdapter(
  folder: string,
  base: ModelConfig,
): Promise<{ config: DecoderConfig; weights: Weights }> {
  const path = join(folder, "adapter_config.json");
  const text = await readFile(path, "utf8").catch(() => {
    throw new Error(`${folder} is no adapter: ${path} cannot be read`);
  });
  const parsed = adapterSchema.safeParse(JSON.parse(text));
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  const { r: rank, lora_alpha: alpha, target_modules: targets } = parsed.data;
  const config = withAdapter(base, { rank, alpha, targets });
  const file = join(folder, "adapter_model.safetensors");
  const { tensors } = await readSafetensors(file);
  const shapes = adapterShapes(config);
  const surplus = Object.keys(tensors).filter((name) => !(name.replace(PREFIX, "") in shapes));
  if (surplus.length > 0)
    throw new Error(`${file}: has tensors that its configuration has no place for: ${surplus.join(", ")}`);
  const weights: Weights = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const tensor = tensors[`${PREFIX}${name}`];
    if (tensor?.dtype !== "float32" || tensor.shape.join() !== shape.join())
      throw new Error(
        `${file}: ${PREFIX}${name} ${tensor ? `is ${tensor.dtype}[${tensor.shape}]` : "is missing"}; [${shape}] is wanted`,
      );
    weights[name] = tensor as FloatTensor;
  }
  return { config, weights };
}

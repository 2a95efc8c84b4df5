/** @file Low-rank adapters (Hu et al. 2021, "LoRA"): what is trained beside frozen weights, and its files in PEFT's format. */

import { join } from "node:path";
import { z } from "zod";
import { readText, writeJson } from "../files.ts";
import { foreignTable, parseForeignJson } from "../foreign.ts";
import type { Random } from "../random.ts";
import { floats, openSafetensors, type TensorSource, writeSafetensors } from "../tensor/index.ts";
import { type AdapterConfig, type DecoderConfig, isEmbedded, type ModelConfig } from "./config.ts";
import { adapterModules, adapterShapes, isTarget, projections } from "./decoder.ts";
import { fittingWeights } from "./fit.ts";
import { weightShapes } from "./transformer.ts";
import type { Weights } from "./types.ts";

/**
 * The configuration with adapters. Weights of the plain configuration go on serving as the reference; an adapted model's
 * are the same tensors and the adapter's beside them, `{ ...weights, ...adapter }`: nothing frozen is held twice.
 *
 * @throws Error where the architecture takes no adapters, or has no projection of that name.
 */
export function withAdapter(config: ModelConfig, adapter: AdapterConfig): DecoderConfig {
  if (config.architecture === "probeward-character" || config.architecture === "gpt2")
    throw new Error(`adapter: the architecture ${config.architecture} takes none; train all of its weights`);
  const modules = adapterModules(config);
  const unknown = adapter.targets.filter((target) => !modules.some((module) => isTarget(module, [target])));
  if (unknown.length > 0 || adapter.targets.length === 0)
    throw new Error(
      `adapter: ${unknown.length > 0 ? `there is no projection ${unknown.join(", ")}` : "it has no targets"}; this model has ${Object.keys(projections(config)).join(", ")}`,
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

/** Zeros in the place of a configuration's adapter, which then changes nothing; nothing where it has none. */
export function adapterOff(config: ModelConfig): Weights {
  const shapes = isEmbedded(config) ? {} : adapterShapes(config);
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, floats(shape)]));
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

/** Modules by names or ends of names, or a regular expression. */
const modulesSchema = z.union([z.string(), z.array(z.string())]);

/** The keys of `adapter_config.json`, as PEFT 0.21 and those before write it. */
const adapterSchema = foreignTable({
  read: {
    peft_type: z.literal("LORA"),
    r: z.int().min(1),
    lora_alpha: z.number(),
    use_rslora: z.boolean().nullish(),
    target_modules: modulesSchema,
    exclude_modules: modulesSchema.nullish(),
    layers_to_transform: z.union([z.int(), z.array(z.int())]).nullish(),
  },
  harmless: [
    // What it belongs to and was written by.
    "base_model_name_or_path revision task_type auto_mapping peft_version inference_mode",
    // Training; settings of what must be on elsewhere to count.
    "lora_dropout runtime_config eva_config qalora_group_size megatron_core ensure_weight_tying",
  ],
  off: {
    bias: ["none"],
    fan_in_fan_out: [false],
    // Others take from the base's weights what the adapter begins with.
    init_lora_weights: [true, false, "gaussian", "eva", "orthogonal"],
    modules_to_save: [[]],
    layers_pattern: [[], "layers", ["layers"]],
    rank_pattern: [{}],
    alpha_pattern: [{}],
    loftq_config: [{}],
    use_dora: [false],
    use_qalora: [false],
    lora_bias: [false],
    target_parameters: [[]],
    layer_replication: [[]],
    merge_weights: [false],
  },
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
  if (isEmbedded(base)) throw new Error(`${folder}: the architecture ${base.architecture} takes no adapter`);
  const text = await readText(path);
  if (text === undefined) throw new Error(`${folder} is no adapter: ${path} is missing`);
  const settings = parseForeignJson(adapterSchema, text, path);
  const { r: rank, lora_alpha: alpha, use_rslora: isRankStabilised } = settings;
  const file = await openSafetensors(join(folder, "adapter_model.safetensors"));
  try {
    const targets = targetsOf(settings, base, file);
    if (targets.length === 0)
      throw new Error(
        `${path}: target_modules ${JSON.stringify(settings.target_modules).slice(0, 200)} names nothing of this model that the adapter has tensors for; names of projections, ends of them, and regular expressions are read`,
      );
    const config = withAdapter(base, {
      rank,
      // Rank-stabilised (Kalajdzievski 2023): alpha is divided by the rank's root.
      alpha: isRankStabilised ? alpha * Math.sqrt(rank) : alpha,
      targets,
    });
    const shapes = Object.entries(adapterShapes(config)).map(([name, shape]) => [PREFIX + name, shape]);
    const weights = await fittingWeights(file, Object.fromEntries(shapes), file.fileOf(""));
    const own = Object.entries(weights).map(([name, tensor]) => [name.slice(PREFIX.length), tensor]);
    return { config, weights: Object.fromEntries(own) };
  } finally {
    await file.close();
  }
}

/**
 * The projections that an adapter changes: those that the settings list, or, where a regular expression or choices of
 * modules and layers narrow them, those among them that the file has tensors for, as PEFT has written it.
 */
function targetsOf(
  settings: z.infer<typeof adapterSchema>,
  base: DecoderConfig,
  { shapes }: Pick<TensorSource, "shapes">,
): string[] {
  const { target_modules: listed, exclude_modules: excluded, layers_to_transform: layers } = settings;
  const modules = adapterModules(base);
  const isListed = (module: string) => typeof listed === "string" || isTarget(module, listed);
  const isNarrowed = typeof listed === "string" || [excluded ?? [], layers ?? []].flat().length > 0;
  const isMeant = (module: string) =>
    isListed(module) && (!isNarrowed || `${PREFIX}${module}.lora_A.weight` in shapes);
  const names = Object.keys(projections(base)).filter((name) =>
    modules.filter((module) => isTarget(module, [name])).every(isMeant),
  );
  return [...names, ...modules.filter((module) => isMeant(module) && !isTarget(module, names))];
}

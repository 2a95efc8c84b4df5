/** @file Low-rank adapters (Hu et al. 2021, "LoRA"): what is trained beside frozen weights, and its files in PEFT's format. */

import { join } from "node:path";
import { z } from "zod";
import { readText, writeJson } from "../files.ts";
import { foreignTable, parseForeignJson } from "../foreign.ts";
import type { Random } from "../random.ts";
import { floats, openSafetensors, type TensorSource, writeSafetensors } from "../tensor/index.ts";
import {
  type AdapterChoice,
  type AdapterConfig,
  type AdapterSize,
  type DecoderConfig,
  isEmbedded,
  type ModelConfig,
} from "./config.ts";
import { fittingWeights } from "./fit.ts";
import { nameInFiles } from "./names.ts";
import { adapterModules, adapterShapes, isTarget } from "./shapes.ts";
import { withinTime } from "./tokens/within.ts";
import { weightShapes } from "./transformer.ts";
import type { Weights } from "./types.ts";

/**
 * The configuration with adapters. Weights of the plain configuration go on serving as the reference; an adapted model's
 * are the same tensors and the adapter's beside them, `{ ...weights, ...adapter }`: nothing frozen is held twice.
 *
 * @throws Error where the architecture takes no adapters, or has no projection of that name.
 */
export function withAdapter(config: ModelConfig, choice: AdapterChoice): DecoderConfig {
  if (isEmbedded(config))
    throw new Error(`adapter: the architecture ${config.architecture} takes none; train all of its weights`);
  const { targets, dora, sizes = {}, ...size } = choice;
  const modules = adapterModules(config);
  const targeted = modules.filter((module) => isTarget(module, targets));
  const isOf = (names: readonly string[]) => (name: string) =>
    !names.some((module) => isTarget(module, [name]));
  const unknown = [targets.filter(isOf(modules)), Object.keys(sizes).filter(isOf(targeted))].flat();
  if (unknown.length > 0 || targets.length === 0)
    throw new Error(
      `adapter: ${unknown.length > 0 ? `there is no projection ${unknown.join(", ")}` : "it has no targets"}${unknown.some((name) => name in sizes) ? " among its targets" : ""}; this model has ${shortNames(config).join(", ")}`,
    );
  const sized = sizesOf(size, targeted, (module) => {
    return sizes[Object.keys(sizes).find((name) => isTarget(module, [name])) ?? ""];
  });
  return { ...config, adapter: { ...sized, targets, ...(dora && { dora }) } };
}

/** The last parts of the modules' names. */
function shortNames(config: DecoderConfig): string[] {
  return [...new Set(adapterModules(config).map((module) => module.split(".").at(-1)!))];
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

/**
 * A fresh adapter that changes nothing yet: A uniform within 1 / sqrt(inputs), as PEFT draws it, B zero, and rows as long as they
 * are.
 *
 * @param base the weights that it is for, which say how long rows are
 */
export function initialAdapter(config: DecoderConfig, random: Random, base: Weights = {}): Weights {
  const weights = adapterOff(config, base);
  for (const [name, { shape, data }] of Object.entries(weights)) {
    if (!name.endsWith("lora_A.weight")) continue;
    const bound = shape[1]! ** -0.5;
    for (let i = 0; i < data.length; i++) data[i] = bound * (2 * random() - 1);
  }
  return weights;
}

/** What in the place of a configuration's adapter changes nothing: zeros, and rows as long as they are; nothing where it has none. */
export function adapterOff(config: ModelConfig, base: Weights = {}): Weights {
  const shapes = isEmbedded(config) ? {} : adapterShapes(config);
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const of = MAGNITUDE.exec(name)?.[1];
      if (of === undefined) return [name, floats(shape)];
      const matrix = base[`${of}.weight`];
      if (!matrix)
        throw new Error(`adapter: ${name} is the length of rows of ${of}.weight, which is not given`);
      return [name, rowLengths(matrix)];
    }),
  );
}

/** The lengths of rows that DoRA trains, by the module's name. */
const MAGNITUDE = /^(.*)\.lora_magnitude_vector$/;

/** The length of each row of a matrix. */
export function rowLengths({ shape, data }: Weights[string]): Weights[string] {
  const [M, N] = shape as [number, number];
  const lengths = floats([M]);
  for (let m = 0; m < M; m++) lengths.data[m] = Math.hypot(...data.subarray(m * N, (m + 1) * N));
  return lengths;
}

/** How PEFT calls the tensors of a causal language model. */
const PREFIX = "base_model.model.";

function fileName({ architecture }: DecoderConfig, name: string): string {
  return PREFIX + nameInFiles(architecture, name);
}

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
  const tensors = Object.entries(trained).map(([name, tensor]) => [fileName(config, name), tensor]);
  const sizes = Object.entries(adapter.sizes ?? {});
  const pattern = (of: (size: AdapterSize) => number) =>
    Object.fromEntries(sizes.map(([module, size]) => [module.replaceAll(".", "\\."), of(size)]));
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
    fan_in_fan_out: config.architecture === "gpt2",
    inference_mode: true,
    ...(sizes.length > 0 && {
      rank_pattern: pattern(({ rank }) => rank),
      alpha_pattern: pattern(({ alpha }) => alpha),
    }),
    ...(adapter.dora && { use_dora: true }),
  };
  await writeJson(path, settings);
}

/** Modules by names or ends of names, or a regular expression. */
const modulesSchema = z.union([z.string(), z.array(z.string())]);

/** Numbers by names or ends of names of modules, or regular expressions for them. */
function patternSchema(number: z.ZodNumber) {
  return z.record(z.string(), number).nullish();
}

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
    rank_pattern: patternSchema(z.int().min(1)),
    alpha_pattern: patternSchema(z.number()),
    use_dora: z.boolean().nullish(),
  },
  harmless: [
    // What it belongs to and was written by.
    "base_model_name_or_path revision task_type auto_mapping peft_version inference_mode",
    // Training; settings of what must be on elsewhere to count.
    // Which way round matrices lie, that PEFT corrects where it is wrong.
    "fan_in_fan_out",
    "lora_dropout runtime_config eva_config qalora_group_size megatron_core ensure_weight_tying",
  ],
  off: {
    bias: ["none"],
    // Others take from the base's weights what the adapter begins with.
    init_lora_weights: [true, false, "gaussian", "eva", "orthogonal"],
    modules_to_save: [[]],
    layers_pattern: [[], "layers", ["layers"]],
    loftq_config: [{}],
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
  const file = await openSafetensors(join(folder, "adapter_model.safetensors"));
  try {
    const targets = targetsOf(settings, base, file);
    if (targets.length === 0)
      throw new Error(
        `${path}: target_modules ${JSON.stringify(settings.target_modules).slice(0, 200)} names nothing of this model that the adapter has tensors for; names of projections, ends of them, and regular expressions are read`,
      );
    const config = withAdapter(base, {
      ...sizesOf(
        { rank: settings.r, alpha: settings.lora_alpha, rslora: settings.use_rslora ?? false },
        adapterModules(base).filter((module) => isTarget(module, targets)),
        (module) => ({
          rank: fittingOf(settings.rank_pattern, module, path),
          alpha: fittingOf(settings.alpha_pattern, module, path),
        }),
      ),
      targets,
      ...(settings.use_dora && { dora: true }),
    });
    const shapes = adapterShapes(config);
    const stored = Object.entries(shapes).map(([name, shape]) => [fileName(config, name), shape]);
    const weights = await fittingWeights(file, Object.fromEntries(stored), file.fileOf(""));
    const own = Object.keys(shapes).map((name) => [name, weights[fileName(config, name)]!]);
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
  const names = shortNames(base).filter((name) =>
    modules.filter((module) => isTarget(module, [name])).every(isMeant),
  );
  return [...names, ...modules.filter((module) => isMeant(module) && !isTarget(module, names))];
}

/** The sizes of the adapters of some modules, of which some may have others. */
function sizesOf(
  { rank, alpha, rslora = false }: Pick<AdapterChoice, "rank" | "alpha" | "rslora">,
  modules: readonly string[],
  otherOf: (module: string) => NonNullable<AdapterChoice["sizes"]>[string] | undefined,
): Pick<AdapterConfig, "rank" | "alpha" | "sizes"> {
  const size = (rank: number, alpha: number): AdapterSize => {
    return { rank, alpha: rslora ? alpha * Math.sqrt(rank) : alpha };
  };
  const usual = size(rank, alpha);
  const others = modules
    .map((module) => {
      const other = otherOf(module);
      return [module, size(other?.rank ?? rank, other?.alpha ?? alpha)] as const;
    })
    .filter(([, own]) => own.rank !== usual.rank || own.alpha !== usual.alpha);
  return { ...usual, ...(others.length > 0 && { sizes: Object.fromEntries(others) }) };
}

/** What patterns of names say of a module: the first that fits counts. */
function fittingOf(
  patterns: Record<string, number> | null | undefined,
  module: string,
  path: string,
): number | undefined {
  const fitting = Object.keys(patterns ?? {}).find((pattern) => fits(pattern, module, path));
  return fitting === undefined ? undefined : patterns![fitting];
}

/** Is it the module's name, or the end of it? As PEFT takes a regular expression. @throws Error where it is none */
function fits(pattern: string, module: string, path: string): boolean {
  const plain = pattern.replaceAll("\\.", ".");
  if (/^[\w.]+$/.test(plain)) return isTarget(module, [plain]);
  const what = `${path}: the pattern ${JSON.stringify(pattern)}`;
  return withinTime(what, () => {
    try {
      return new RegExp(`^(.*\\.)?(${pattern})$`, "u").test(module);
    } catch (error) {
      throw new Error(`${what} cannot be read: ${(error as Error).message}`);
    }
  });
}

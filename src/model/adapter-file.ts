/** @file Adapters on disk, in PEFT's format. */

import { join } from "node:path";
import { z } from "zod";
import { readText, writeJson } from "../files.ts";
import { foreignTable, parseForeignJson } from "../foreign.ts";
import { openSafetensors, type TensorSource, writeSafetensors } from "../tensor/index.ts";
import { adapterSizes, shortNames, splitWeights, withAdapter } from "./adapter.ts";
import { type AdapterSize, type DecoderConfig, isEmbedded, type ModelConfig } from "./config.ts";
import { fittingWeights } from "./fit.ts";
import { nameInFiles } from "./names.ts";
import { adapterModules, adapterShapes, isTarget } from "./shapes.ts";
import { withinTime } from "./tokens/within.ts";
import type { Weights } from "./types.ts";

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
      ...adapterSizes(
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

/** @file Low-rank adapters (Hu et al. 2021, "LoRA"): what is trained beside frozen weights. */

import type { Random } from "../random.ts";
import { floats } from "../tensor/index.ts";
import {
  type AdapterChoice,
  type AdapterConfig,
  type AdapterSize,
  type DecoderConfig,
  isEmbedded,
  type ModelConfig,
} from "./config.ts";
import { adapterModules, adapterShapes, isTarget } from "./shapes.ts";
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
  const sized = adapterSizes(size, targeted, (module) => {
    return sizes[Object.keys(sizes).find((name) => isTarget(module, [name])) ?? ""];
  });
  return { ...config, adapter: { ...sized, targets, ...(dora && { dora }) } };
}

/** The last parts of the modules' names. */
export function shortNames(config: DecoderConfig): string[] {
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

/** The sizes of the adapters of some modules, of which some may have others. */
export function adapterSizes(
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

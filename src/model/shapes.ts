/** @file The tensors of a decoder and of its adapters, by name, and what each layer has of its own. */

import { type AdapterConfig, type AdapterSize, type DecoderConfig, normsOf } from "./config.ts";
import { nameInFiles } from "./names.ts";
import { turnsIndex } from "./rotary.ts";

/** Does the activation gate another product? */
export function isGated(mlp: DecoderConfig["mlp"]): boolean {
  return mlp.startsWith("gated");
}

/** A matrix of a layer: its name in it, its sizes, and whether it has a bias. */
export interface Projection {
  path: string;
  outputs: number;
  inputs: number;
  bias: boolean;
}

/** The projections of a layer, in the order of use. */
export function projections(config: DecoderConfig): Projection[] {
  const { width: D, hidden: F, biases, mlp, fused = {} } = config;
  const queries = config.heads * config.headDim;
  const keys = config.keyValueHeads * config.headDim;
  const attention = (name: string, outputs: number, inputs: number, bias: boolean): Projection => {
    return { path: `self_attn.${name}`, outputs, inputs, bias };
  };
  const inMlp = (path: string): Projection[] => {
    const own = (name: string, outputs: number, inputs: number): Projection => {
      return { path: `${path}.${name}`, outputs, inputs, bias: biases.mlp };
    };
    const gates = isGated(mlp) && !fused.gateUp ? [own("gate_proj", F, D)] : [];
    const up = fused.gateUp ? own("gate_up_proj", 2 * F, D) : own("up_proj", F, D);
    return [...gates, up, own("down_proj", D, F)];
  };
  return [
    ...(fused.queryKeyValue
      ? [attention("qkv_proj", queries + 2 * keys, D, biases.queryKeyValue)]
      : [
          attention("q_proj", queries, D, biases.queryKeyValue),
          attention("k_proj", keys, D, biases.queryKeyValue),
          attention("v_proj", keys, D, biases.queryKeyValue),
        ]),
    attention("o_proj", D, queries, biases.attentionOut),
    ...mlpPaths(config).flatMap(inMlp),
  ];
}

/** The names of a layer's MLPs in it. */
export function mlpPaths({ experts }: DecoderConfig): string[] {
  return experts ? Array.from({ length: experts.count }, (_, e) => `mlp.experts.${e}`) : ["mlp"];
}

/** Shapes of the checkpoint's weights by our names, which are Llama's, in the order of use. */
export function decoderShapes(config: DecoderConfig): Record<string, number[]> {
  const { width: D, vocabulary: V, queryKeyNorm } = config;
  const shapes: Record<string, number[]> = { "model.embed_tokens.weight": [V, D] };
  const norm = (name: string, size: number) => {
    shapes[`${name}.weight`] = [size];
    if (config.norm.kind === "layer") shapes[`${name}.bias`] = [size];
  };
  if (config.rotary === null) shapes["model.embed_positions.weight"] = [config.context, D];
  const norms = normsOf(config);
  for (let layer = 0; layer < config.layers; layer++) {
    const block = `model.layers.${layer}`;
    for (const part of ["attention", "mlp"] as const) {
      const { before, after } = norms[part];
      if (before) norm(`${block}.${before}`, D);
      if (part === "mlp" && config.experts) shapes[`${block}.mlp.gate.weight`] = [config.experts.count, D];
      for (const { path, outputs, inputs, bias } of projections(config)) {
        if (path.startsWith("mlp.") !== (part === "mlp")) continue;
        shapes[`${block}.${path}.weight`] = [outputs, inputs];
        if (bias) shapes[`${block}.${path}.bias`] = [outputs];
      }
      if (after) norm(`${block}.${after}`, D);
    }
    if (queryKeyNorm) {
      const whole = queryKeyNorm === "whole";
      shapes[`${block}.self_attn.q_norm.weight`] = [config.headDim * (whole ? config.heads : 1)];
      shapes[`${block}.self_attn.k_norm.weight`] = [config.headDim * (whole ? config.keyValueHeads : 1)];
    }
  }
  norm("model.norm", D);
  if (!config.tied) shapes["lm_head.weight"] = [V, D];
  return shapes;
}

/**
 * Shapes of the adapter's tensors: for every target A [rank, inputs] and B [outputs, rank], and the rows' lengths [outputs] where
 * they are trained apart; none without an adapter.
 */
export function adapterShapes(config: DecoderConfig): Record<string, number[]> {
  const shapes: Record<string, number[]> = {};
  const { adapter } = config;
  if (adapter === undefined) return shapes;
  for (let layer = 0; layer < config.layers; layer++)
    for (const { path, outputs, inputs } of projections(config)) {
      const module = `model.layers.${layer}.${path}`;
      const name = nameInFiles(config.architecture, module);
      if (!isTarget(name, adapter.targets)) continue;
      const { rank } = sizeOfAdapter(adapter, name);
      shapes[`${module}.lora_A.weight`] = [rank, inputs];
      shapes[`${module}.lora_B.weight`] = [outputs, rank];
      if (adapter.dora) shapes[`${module}.lora_magnitude_vector`] = [outputs];
    }
  return shapes;
}

/** The modules that can have adapters: the projections of all layers by their whole names in files. */
export function adapterModules(config: DecoderConfig): string[] {
  return Array.from({ length: config.layers }, (_, layer) =>
    projections(config).map(({ path }) => nameInFiles(config.architecture, `model.layers.${layer}.${path}`)),
  ).flat();
}

/** Is a module among the targets, by its name or by the end of it? As PEFT takes a list of them. */
export function isTarget(module: string, targets: readonly string[]): boolean {
  return targets.some((target) => module === target || module.endsWith(`.${target}`));
}

/** The size of a module's adapter. */
export function sizeOfAdapter({ sizes = {}, rank, alpha }: AdapterConfig, module: string): AdapterSize {
  return sizes[module] ?? { rank, alpha };
}

/** What a layer has of its own. Layers that have the same run as one program. */
export interface LayerTraits {
  /** Positions that its tokens see, where not all. */
  window: number | undefined;
  /** Which of the model's `rotaries` is its own. */
  turns: number;
  /** Sizes of its adapters, by the paths of their projections. */
  adapters: Readonly<Record<string, AdapterSize>>;
}

/** What a layer has of its own. */
export function traitsOf(config: DecoderConfig, layer: number): LayerTraits {
  const { adapter, sliding } = config;
  const window = sliding?.layers.includes(layer) ? sliding.window : undefined;
  const sized = adapter
    ? projections(config).map(({ path }) => {
        const name = nameInFiles(config.architecture, `model.layers.${layer}.${path}`);
        return [path, sizeOfAdapter(adapter, name)] as const;
      })
    : [];
  return { window, turns: turnsIndex(config, layer), adapters: Object.fromEntries(sized) };
}

/** @file A model that was changed elsewhere: a checkpoint, an adapter merged into what it belongs to, or a run's checkpoint. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { floats } from "../tensor/index.ts";
import { rowLengths, withAdapter } from "./adapter.ts";
import { loadAdapter } from "./adapter-file.ts";
import { loadModel, loadWeights } from "./checkpoint.ts";
import { type AdapterChoice, type DecoderConfig, isEmbedded } from "./config.ts";
import { nameInFiles } from "./names.ts";
import { sizeOfAdapter } from "./shapes.ts";
import type { LoadedModel, Weights } from "./types.ts";

/**
 * Loads what training made of a model: a model's folder or GGUF file; a folder with `adapter_config.json`, as PEFT writes it,
 * which is merged in memory; or a checkpoint of a run, whose tensors have their own names.
 *
 * @param adapter what a run's checkpoint holds in place of all weights, where its policy trained one
 * @throws Error naming the file that is missing, or does not belong to the model
 */
export async function loadChanged(
  path: string,
  base: LoadedModel,
  adapter?: AdapterChoice,
): Promise<LoadedModel> {
  if (existsSync(join(path, "adapter_config.json")) && !existsSync(join(path, "config.json")))
    return merged({ ...base, name: path }, await loadAdapter(path, base.config));
  if (!existsSync(join(path, "checkpoint.json"))) return { ...(await loadModel(path)), name: path };
  const file = join(path, "model.safetensors");
  if (adapter === undefined) return { ...base, name: path, weights: await loadWeights(file, base.config) };
  const config = withAdapter(base.config, adapter);
  return merged({ ...base, name: path }, { config, weights: await loadWeights(file, config) });
}

/**
 * The model with an adapter added to its weights: W + (alpha / rank) B A at every target (Hu et al. 2021), whose rows are then
 * given their own lengths where those were trained (DoRA). Weights without an adapter are the base's own.
 */
export function merged(
  base: LoadedModel,
  { config, weights: adapter }: { config: DecoderConfig; weights: Weights },
): LoadedModel {
  if (isEmbedded(base.config))
    throw new Error(`the architecture ${base.config.architecture} takes no adapter`);
  const weights: Weights = { ...base.weights };
  for (const [name, a] of Object.entries(adapter)) {
    if (!name.endsWith(".lora_A.weight")) continue;
    const module = name.slice(0, -".lora_A.weight".length);
    const b = adapter[`${module}.lora_B.weight`]!;
    const target = `${module}.weight`;
    const { rank, alpha } = sizeOfAdapter(config.adapter!, nameInFiles(config.architecture, module));
    const sum = plusProduct(weights[target]!, alpha / rank, b, a);
    const magnitude = adapter[`${module}.lora_magnitude_vector`];
    weights[target] = magnitude ? withRows(sum, magnitude.data) : sum;
  }
  return { ...base, weights };
}

/** A matrix [M, N] that nobody else holds, its rows scaled to lengths. */
function withRows(matrix: Weights[string], lengths_M: Float32Array): Weights[string] {
  const N = matrix.shape[1]!;
  const own = rowLengths(matrix).data;
  for (let i = 0; i < matrix.data.length; i++) {
    const m = Math.floor(i / N);
    matrix.data[i]! *= lengths_M[m]! / own[m]!;
  }
  return matrix;
}

/** W [M, N] + scale B [M, R] A [R, N], as a tensor of its own. */
export function plusProduct(w: Weights[string], scale: number, b: Weights[string], a: Weights[string]) {
  const [M, N] = w.shape as [number, number];
  const R = a.shape[0]!;
  const sum = floats([M, N]);
  const [into, from] = [sum.data, a.data];
  into.set(w.data);
  for (let m = 0; m < M; m++)
    for (let r = 0; r < R; r++) {
      const factor = scale * b.data[m * R + r]!;
      if (factor === 0) continue;
      for (let n = 0, i = m * N, k = r * N; n < N; n++, i++, k++) into[i]! += factor * from[k]!;
    }
  return sum;
}

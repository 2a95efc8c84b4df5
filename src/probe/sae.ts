/** @file Features of sparse autoencoders as probes: dictionaries in SAELens's format. */

import { join } from "node:path";
import type { z } from "zod";
import { readText } from "../files.ts";
import { parseForeignJson } from "../foreign.ts";
import { allFinite, openSafetensors, type TensorSource } from "../tensor/index.ts";
import { smallestAbove } from "./metrics.ts";
import { dictionarySchema } from "./sae-keys.ts";
import type { Probe } from "./types.ts";

/** How pre-activations become features. `topk`: the k largest, where they are positive. */
type Architecture = "standard" | "topk" | "jumprelu";

/** A dictionary of directions in activation space. */
export interface SparseAutoencoder {
  architecture: Architecture;
  /** Where its activations were read, by TransformerLens's name. */
  hook: string;
  /** Number of features. */
  size: number;
  /**
   * Was it trained on a model whose writing weights are centred, as TransformerLens centres those of models with layer norms?
   * Its features are then those of activations minus their mean. Models with RMS norms are never centred, and are not its own.
   */
  isCentred: boolean;
  /** All features of one activation of length D. */
  encode(activation_D: Float32Array): Float32Array;
  /**
   * One feature as a linear probe, whose logit is the feature's pre-activation. It flags where the feature is on: above 0, for
   * JumpReLU above the feature's own threshold. Of a TopK dictionary it flags what is positive, whether or not k other
   * features are larger: a monitor of one feature does not ask about the others.
   *
   * @throws RangeError for a feature that is not in the dictionary
   */
  probe(feature: number, tap: Pick<Probe["tap"], "positions" | "pool">): Probe;
}

/**
 * Reads a dictionary: a folder with `cfg.json` and `sae_weights.safetensors`.
 *
 * @throws Error naming the file, and what is missing or not supported: gated dictionaries, inputs that are normalised or
 *   reshaped, settings that are not known.
 */
export async function loadSae(folder: string): Promise<SparseAutoencoder> {
  const path = join(folder, "cfg.json");
  const text = await readText(path);
  if (text === undefined) throw new Error(`${folder} is no SAELens dictionary: ${path} is missing`);
  const config = parseForeignJson(dictionarySchema, text, path);
  const { architecture, k } = activationOf(config, path);
  const normalised = config.normalize_activations ?? "none";
  if (normalised !== "none" && normalised !== false)
    throw new Error(
      `${path}: normalize_activations is ${JSON.stringify(normalised)}, which is not supported; fold it into the weights with SAELens first`,
    );
  const hook = config.metadata?.hook_name ?? config.hook_name ?? config.hook_point;
  if (!hook) throw new Error(`${path}: has no hook_name`);
  if ((config.reshape_activations ?? "none") !== "none" || hook.endsWith("hook_z"))
    throw new Error(`${path}: reads the heads of ${hook} apart, which is not supported`);

  const weights = join(folder, "sae_weights.safetensors");
  const { model_from_pretrained_kwargs: processing } = { ...config, ...config.metadata };
  const isCentred = processing?.center_writing_weights === true;
  const file = await openSafetensors(weights);
  try {
    const { d_in: D, d_sae: F } = config;
    await checkOthers(file, weights, architecture);
    const read = (name: string, shape: number[]) => readTensor(file, weights, name, shape);
    const encoder_DF = await read("W_enc", [D, F]);
    const bias_F = (await read("b_enc", [F])).slice();
    if (config.apply_b_dec_to_input) {
      const centre_D = await read("b_dec", [D]);
      for (let d = 0; d < D; d++)
        for (let f = 0; f < F; f++) bias_F[f]! -= centre_D[d]! * encoder_DF[d * F + f]!;
    }
    if (architecture === "topk" && config.rescale_acts_by_decoder_norm) {
      const decoder_FD = await read("W_dec", [F, D]);
      for (let f = 0; f < F; f++) {
        const norm = Math.sqrt(decoder_FD.subarray(f * D, (f + 1) * D).reduce((sum, x) => sum + x * x, 0));
        bias_F[f]! *= norm;
        for (let d = 0; d < D; d++) encoder_DF[d * F + f]! *= norm;
      }
    }
    // (a - mean(a)) W is a (W - the means of its columns).
    if (isCentred)
      for (let f = 0; f < F; f++) {
        let mean = 0;
        for (let d = 0; d < D; d++) mean += encoder_DF[d * F + f]! / D;
        for (let d = 0; d < D; d++) encoder_DF[d * F + f]! -= mean;
      }
    const threshold_F = architecture === "jumprelu" ? await read("threshold", [F]) : new Float32Array(F);
    return dictionary({ architecture, hook, isCentred, k, encoder_DF, bias_F, threshold_F });
  } finally {
    await file.close();
  }
}

interface Parts {
  architecture: Architecture;
  hook: string;
  isCentred: boolean;
  k: number;
  encoder_DF: Float32Array;
  bias_F: Float32Array;
  threshold_F: Float32Array;
}

function dictionary({
  architecture,
  hook,
  isCentred,
  k,
  encoder_DF,
  bias_F,
  threshold_F,
}: Parts): SparseAutoencoder {
  const F = bias_F.length;
  const D = encoder_DF.length / F;
  return {
    architecture,
    hook,
    size: F,
    isCentred,
    encode(activation_D) {
      if (activation_D.length !== D)
        throw new Error(`the dictionary reads activations of length ${D}, got one of ${activation_D.length}`);
      const features_F = bias_F.slice();
      for (let d = 0; d < D; d++)
        for (let f = 0; f < F; f++) features_F[f]! += activation_D[d]! * encoder_DF[d * F + f]!;
      const kept = architecture === "topk" ? largest(features_F, k) : undefined;
      return features_F.map((x, f) => (x > Math.max(0, threshold_F[f]!) && (kept?.has(f) ?? true) ? x : 0));
    },
    probe(feature, tap) {
      if (!Number.isInteger(feature) || feature < 0 || feature >= F)
        throw new RangeError(`there is no feature ${feature}; the dictionary has ${F}, counted from 0`);
      return {
        kind: "sae-feature",
        tap: { hook, ...tap },
        weight_D: Float32Array.from({ length: D }, (_, d) => encoder_DF[d * F + feature]!),
        bias: bias_F[feature]!,
        threshold: smallestAbove(Math.max(0, threshold_F[feature]!)),
      };
    },
  };
}

/** @throws Error for an architecture that is not supported */
function activationOf(
  config: z.infer<typeof dictionarySchema>,
  path: string,
): { architecture: Architecture; k: number } {
  const activation = config.activation_fn ?? config.activation_fn_str ?? "relu";
  const k = config.k ?? config.activation_fn_kwargs?.k;
  const name = config.architecture === "standard" && activation === "topk" ? "topk" : config.architecture;
  if (name === "topk") {
    if (k === undefined) throw new Error(`${path}: is of architecture "topk" and has no k`);
    return { architecture: "topk", k };
  }
  const known = name === "jumprelu" || (name === "standard" && activation === "relu");
  if (!known)
    throw new Error(
      `${path}: the architecture ${JSON.stringify(name)}${name === "standard" ? ` with ${activation}` : ""} is not supported; standard (ReLU), topk and jumprelu are`,
    );
  return { architecture: name, k: 0 };
}

/** Tensors of dictionaries, all of which may be there, whether or not features depend on them. */
const TENSORS = ["W_enc", "b_enc", "W_dec", "b_dec"];

/** @throws Error for tensors beside a dictionary's own that could change its features */
async function checkOthers(file: TensorSource, path: string, architecture: Architecture): Promise<void> {
  const own = architecture === "jumprelu" ? [...TENSORS, "threshold"] : TENSORS;
  for (const name of Object.keys(file.shapes)) {
    if (own.includes(name)) continue;
    // Features were multiplied by these, where they were fine-tuned; else they are 1, and some files hold them.
    const { data } = await file.read(name);
    if (!/^(finetuning_)?scaling_factor$/.test(name) || data.some((x) => x !== 1))
      throw new Error(`${path}: has the tensor ${name}, which is not known here and could change features`);
  }
}

async function readTensor(
  file: TensorSource,
  path: string,
  name: string,
  shape: number[],
): Promise<Float32Array> {
  const stored = file.shapes[name];
  if (stored?.join() !== shape.join())
    throw new Error(
      `${path}: ${name} ${stored ? `has shape [${stored}]` : "is missing"}; cfg.json wants [${shape}]`,
    );
  const { data } = await file.read(name);
  if (!(data instanceof Float32Array)) throw new Error(`${path}: ${name} holds integers`);
  if (!allFinite(data)) throw new Error(`${path}: ${name} holds numbers that are not finite`);
  return data;
}

/** The indices of the k largest values. */
function largest(values: Float32Array, k: number): Set<number> {
  const order = Array.from(values.keys()).sort((a, b) => values[b]! - values[a]!);
  return new Set(order.slice(0, k));
}

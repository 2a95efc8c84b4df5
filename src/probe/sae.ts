/** @file Features of sparse autoencoders as probes: dictionaries in SAELens's format. */

import { join } from "node:path";
import type { z } from "zod";
import { readText } from "../files.ts";
import { parseForeignJson } from "../foreign.ts";
import { allFinite, openSafetensors, type TensorSource } from "../tensor/index.ts";
import { smallestAbove } from "./metrics.ts";
import { dictionarySchema } from "./sae-keys.ts";
import type { Probe } from "./types.ts";

/**
 * How pre-activations become features. `topk`: the k largest, where they are positive. `gated`: those whose gate is open; gate and
 * magnitude look along one direction (Rajamanoharan et al. 2024), so that it is a JumpReLU.
 */
type Architecture = "standard" | "topk" | "jumprelu" | "gated";

/** What is done to each activation before it is encoded. */
type Normalise = (activation_D: Float32Array) => Float32Array;

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
   * @throws Error where activations are normalised one by one before they are encoded: features are then not linear in them
   */
  probe(feature: number, tap: Pick<Probe["tap"], "positions" | "pool">): Probe;
}

/**
 * Reads a dictionary: a folder with `cfg.json` and `sae_weights.safetensors`.
 *
 * @throws Error naming the file, and what is missing or not supported: inputs that are reshaped, or scaled by a factor that is not
 *   in the file, settings that are not known.
 */
export async function loadSae(folder: string): Promise<SparseAutoencoder> {
  const path = join(folder, "cfg.json");
  const text = await readText(path);
  if (text === undefined) throw new Error(`${folder} is no SAELens dictionary: ${path} is missing`);
  const config = parseForeignJson(dictionarySchema, text, path);
  const { architecture, k } = activationOf(config, path);
  const normalise = normaliserOf(config.normalize_activations ?? "none", path);
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
    const isGated = architecture === "gated";
    const bias_F = (await read(isGated ? "b_mag" : "b_enc", [F])).slice();
    const gate_F = isGated ? (await read("b_gate", [F])).slice() : undefined;
    const rate_F = isGated ? (await read("r_mag", [F])).map(Math.exp) : undefined;
    if (config.apply_b_dec_to_input) {
      const centre_D = await read("b_dec", [D]);
      for (let d = 0; d < D; d++)
        for (let f = 0; f < F; f++) {
          const moved = centre_D[d]! * encoder_DF[d * F + f]!;
          bias_F[f]! -= moved * (rate_F?.[f] ?? 1);
          if (gate_F) gate_F[f]! -= moved;
        }
    }
    if (rate_F) for (let i = 0; i < encoder_DF.length; i++) encoder_DF[i]! *= rate_F[i % F]!;
    if (architecture === "topk" && config.rescale_acts_by_decoder_norm) {
      const decoder_FD = await read("W_dec", [F, D]);
      for (let f = 0; f < F; f++) {
        const norm = Math.sqrt(decoder_FD.subarray(f * D, (f + 1) * D).reduce((sum, x) => sum + x * x, 0));
        bias_F[f]! *= norm;
        for (let d = 0; d < D; d++) encoder_DF[d * F + f]! *= norm;
      }
    }
    // (a - mean(a)) W is a (W - the means of its columns), where nothing comes between.
    if (isCentred && !normalise)
      for (let f = 0; f < F; f++) {
        let mean = 0;
        for (let d = 0; d < D; d++) mean += encoder_DF[d * F + f]! / D;
        for (let d = 0; d < D; d++) encoder_DF[d * F + f]! -= mean;
      }
    // The gate a w + g is open where the magnitude e^r a w + m is above m - e^r g.
    const threshold_F = gate_F
      ? gate_F.map((gate, f) => bias_F[f]! - rate_F![f]! * gate)
      : architecture === "jumprelu"
        ? await read("threshold", [F])
        : new Float32Array(F);
    const prepare: Normalise | undefined = normalise && ((a) => normalise(isCentred ? centred(a) : a));
    return dictionary({ architecture, hook, isCentred, k, encoder_DF, bias_F, threshold_F, prepare });
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
  prepare: Normalise | undefined;
}

function dictionary({
  architecture,
  hook,
  isCentred,
  k,
  encoder_DF,
  bias_F,
  threshold_F,
  prepare,
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
      const given_D = prepare ? prepare(activation_D) : activation_D;
      for (let d = 0; d < D; d++)
        for (let f = 0; f < F; f++) features_F[f]! += given_D[d]! * encoder_DF[d * F + f]!;
      const kept = architecture === "topk" ? largest(features_F, k) : undefined;
      return features_F.map((x, f) => (x > Math.max(0, threshold_F[f]!) && (kept?.has(f) ?? true) ? x : 0));
    },
    probe(feature, tap) {
      if (!Number.isInteger(feature) || feature < 0 || feature >= F)
        throw new RangeError(`there is no feature ${feature}; the dictionary has ${F}, counted from 0`);
      if (prepare)
        throw new Error(
          "the dictionary normalises each activation before it encodes it: its features are not linear in activations, and probes are; choose a dictionary with normalize_activations: none",
        );
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

/** @throws Error for a way to normalise that is not supported */
function normaliserOf(name: string | boolean, path: string): Normalise | undefined {
  if (name === "none" || name === false) return undefined;
  if (name === "layer_norm") return standardised;
  if (name === "constant_norm_rescale") return rescaled;
  throw new Error(
    `${path}: normalize_activations is ${JSON.stringify(name)}, which is not supported; none, layer_norm and constant_norm_rescale are. Fold it into the weights with SAELens first`,
  );
}

function centred(activation_D: Float32Array): Float32Array {
  const mean = activation_D.reduce((sum, x) => sum + x, 0) / activation_D.length;
  return activation_D.map((x) => x - mean);
}

/** Less the mean, divided by the standard deviation (of a sample, with 1e-5 added). */
function standardised(activation_D: Float32Array): Float32Array {
  const apart_D = centred(activation_D);
  const deviation = Math.hypot(...apart_D) / Math.sqrt(apart_D.length - 1);
  return apart_D.map((x) => x / (deviation + 1e-5));
}

/** At the length sqrt(D). */
function rescaled(activation_D: Float32Array): Float32Array {
  const factor = Math.sqrt(activation_D.length) / Math.hypot(...activation_D);
  return activation_D.map((x) => x * factor);
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
  const known = name === "jumprelu" || ((name === "standard" || name === "gated") && activation === "relu");
  if (!known)
    throw new Error(
      `${path}: the architecture ${JSON.stringify(name)}${name === "standard" || name === "gated" ? ` with ${activation}` : ""} is not supported; standard and gated (ReLU), topk and jumprelu are`,
    );
  return { architecture: name as Architecture, k: 0 };
}

/** Tensors of dictionaries, all of which may be there, whether or not features depend on them. */
const TENSORS = ["W_enc", "b_enc", "W_dec", "b_dec"];
const FURTHER: Partial<Record<Architecture, readonly string[]>> = {
  jumprelu: ["threshold"],
  gated: ["b_gate", "b_mag", "r_mag"],
};

/** @throws Error for tensors beside a dictionary's own that could change its features */
async function checkOthers(file: TensorSource, path: string, architecture: Architecture): Promise<void> {
  const own = [...TENSORS, ...(FURTHER[architecture] ?? [])];
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

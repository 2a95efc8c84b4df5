/** @file Features of sparse autoencoders as probes: dictionaries in SAELens's format. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { parseJson } from "../files.ts";
import { openSafetensors, type TensorSource } from "../tensor/index.ts";
import { smallestAbove } from "./metrics.ts";
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

/** `cfg.json`, of SAELens 6 (names in `metadata`) and before (all on one level). */
const configSchema = z.looseObject({
  architecture: z.string().default("standard"),
  d_in: z.int().min(1),
  d_sae: z.int().min(1),
  apply_b_dec_to_input: z.boolean().default(true),
  normalize_activations: z.union([z.string(), z.boolean()]).nullish(),
  reshape_activations: z.string().nullish(),
  hook_name: z.string().optional(),
  hook_point: z.string().optional(),
  metadata: z.looseObject({ hook_name: z.string().optional() }).nullish(),
  activation_fn: z.string().optional(),
  activation_fn_str: z.string().optional(),
  activation_fn_kwargs: z.looseObject({ k: z.int().min(1).optional() }).nullish(),
  k: z.int().min(1).optional(),
  rescale_acts_by_decoder_norm: z.boolean().default(false),
  finetuning_scaling_factor: z.literal(false).nullish(),
});

/**
 * Reads a dictionary: a folder with `cfg.json` and `sae_weights.safetensors`.
 *
 * @throws Error naming the file, and what is missing or not supported: gated dictionaries, and inputs that are normalised
 *   or reshaped.
 */
export async function loadSae(folder: string): Promise<SparseAutoencoder> {
  const path = join(folder, "cfg.json");
  const text = await readFile(path, "utf8").catch(() => {
    throw new Error(`${folder} is no SAELens dictionary: ${path} cannot be read`);
  });
  const parsed = configSchema.safeParse(parseJson(text));
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  const config = parsed.data;
  const { architecture, k } = activationOf(config, path);
  const normalised = config.normalize_activations ?? "none";
  if (normalised !== "none" && normalised !== false)
    throw new Error(
      `${path}: normalize_activations is ${JSON.stringify(normalised)}, which is not supported; fold it into the weights with SAELens first`,
    );
  const hook = config.metadata?.hook_name ?? config.hook_name ?? config.hook_point;
  if (hook === undefined) throw new Error(`${path}: has no hook_name`);
  if ((config.reshape_activations ?? "none") !== "none" || hook.endsWith("hook_z"))
    throw new Error(`${path}: reads the heads of ${hook} apart, which is not supported`);

  const weights = join(folder, "sae_weights.safetensors");
  const file = await openSafetensors(weights);
  try {
    const { d_in: D, d_sae: F } = config;
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
        const norm = Math.hypot(...decoder_FD.subarray(f * D, (f + 1) * D));
        bias_F[f]! *= norm;
        for (let d = 0; d < D; d++) encoder_DF[d * F + f]! *= norm;
      }
    }
    const threshold_F = architecture === "jumprelu" ? await read("threshold", [F]) : new Float32Array(F);
    return dictionary({ architecture, hook, k, encoder_DF, bias_F, threshold_F });
  } finally {
    await file.close();
  }
}

interface Parts {
  architecture: Architecture;
  hook: string;
  k: number;
  encoder_DF: Float32Array;
  bias_F: Float32Array;
  threshold_F: Float32Array;
}

function dictionary({ architecture, hook, k, encoder_DF, bias_F, threshold_F }: Parts): SparseAutoencoder {
  const F = bias_F.length;
  const D = encoder_DF.length / F;
  return {
    architecture,
    hook,
    size: F,
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
  config: z.infer<typeof configSchema>,
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
  return data;
}

/** The indices of the k largest values. */
function largest(values: Float32Array, k: number): Set<number> {
  const order = Array.from(values.keys()).sort((a, b) => values[b]! - values[a]!);
  return new Set(order.slice(0, k));
}

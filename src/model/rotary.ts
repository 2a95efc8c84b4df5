/** @file Rotary position embeddings (Su et al. 2021, "RoFormer") and how contexts are stretched with them. */

import { numpy as np } from "@jax-js/jax";
import type { JaxArray } from "../tensor/index.ts";
import type { DecoderConfig, Rotary } from "./config.ts";

/** What checkpoints say of their rotary positions, in the names of `config.json`. */
export interface RotaryParameters {
  rope_type: string;
  rope_theta: number;
  factor?: number | null | undefined;
  low_freq_factor?: number | null | undefined;
  high_freq_factor?: number | null | undefined;
  original_max_position_embeddings?: number | null | undefined;
  beta_fast?: number | null | undefined;
  beta_slow?: number | null | undefined;
  attention_factor?: number | null | undefined;
  mscale?: number | null | undefined;
  mscale_all_dim?: number | null | undefined;
  truncate?: boolean | undefined;
  short_factor?: readonly number[] | null | undefined;
}

/** The widest head that is taken for one. */
const MAX_HEAD = 2 ** 16;

/**
 * Frequencies of the pairs of dimensions: theta^(-2 i / headDim), scaled as the checkpoint was trained: `linear` (Chen
 * et al. 2023), `llama3` (the Llama 3.1 release), `yarn` (Peng et al. 2023, section 3.2 and its temperature) or `longrope`
 * (Ding et al. 2024), of which the factors of sequences within the original context are taken. `dynamic` scales sequences that
 * are longer than the context, which there are none of here.
 *
 * @param headDim the dimensions that are turned, of a head
 * @param context the longest sequence of the checkpoint
 * @param where the file that says so, for error messages
 * @throws Error naming the type of scaling, where there is no rule for it, or the parameter that it lacks.
 */
export function rotary(
  headDim: number,
  context: number,
  parameters: RotaryParameters,
  where: string,
): Rotary {
  const { rope_type: type, rope_theta: theta } = parameters;
  if (headDim % 2 !== 0 || headDim > MAX_HEAD)
    throw new Error(
      `${where}: its heads have ${headDim} dimensions; rotary positions need an even number up to ${MAX_HEAD}`,
    );
  const plain = Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
  const need = (name: keyof RotaryParameters): number => {
    const value = parameters[name];
    if (typeof value !== "number")
      throw new Error(`${where}: its rope scaling ${JSON.stringify(type)} lacks ${name}`);
    return value;
  };
  switch (type) {
    case "default":
    case "dynamic":
      return { frequencies: plain, magnitude: 1 };
    case "linear":
      return { frequencies: plain.map((frequency) => frequency / need("factor")), magnitude: 1 };
    case "llama3": {
      const [factor, low, high] = [need("factor"), need("low_freq_factor"), need("high_freq_factor")];
      const original = parameters.original_max_position_embeddings ?? context;
      const scaled = plain.map((frequency) => {
        // How often the pair turns within the original context decides: long waves are stretched, short ones kept.
        const turns = (original * frequency) / (2 * Math.PI);
        const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
        return (1 - kept) * (frequency / factor) + kept * frequency;
      });
      return { frequencies: scaled, magnitude: 1 };
    }
    case "yarn": {
      const original = parameters.original_max_position_embeddings ?? context;
      const factor = parameters.factor === null ? context / original : need("factor");
      const dimension = (turns: number) =>
        (headDim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
      const round = parameters.truncate === false ? (x: number) => x : undefined;
      const low = Math.max((round ?? Math.floor)(dimension(parameters.beta_fast ?? 32)), 0);
      const high = Math.min((round ?? Math.ceil)(dimension(parameters.beta_slow ?? 1)), headDim - 1);
      const scaled = plain.map((frequency, i) => {
        const stretched = Math.min(1, Math.max(0, (i - low) / (high === low ? 0.001 : high - low)));
        return stretched * (frequency / factor) + (1 - stretched) * frequency;
      });
      const temperature = (scale = 1) => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
      const { attention_factor: given, mscale, mscale_all_dim: whole } = parameters;
      const usual = mscale && whole ? temperature(mscale) / temperature(whole) : temperature();
      return { frequencies: scaled, magnitude: given ?? usual };
    }
    case "longrope": {
      const { short_factor: divisors, attention_factor: given } = parameters;
      if (divisors?.length !== plain.length)
        throw new Error(
          `${where}: its rope scaling "longrope" lacks a short_factor of ${plain.length} numbers`,
        );
      const original = need("original_max_position_embeddings");
      const factor = parameters.factor ?? context / original;
      const usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
      return {
        frequencies: plain.map((frequency, i) => frequency / divisors[i]!),
        magnitude: given ?? usual,
      };
    }
    default:
      throw new Error(
        `${where}: its rope scaling ${JSON.stringify(type)} is not supported; default, linear, dynamic, llama3, yarn and longrope are`,
      );
  }
}

/** The ways in which a model's queries and keys are turned: that of all layers, and that of sliding ones where they have their own. */
export function rotaries({ rotary, sliding }: DecoderConfig): Rotary[] {
  return [rotary, sliding?.rotary].filter((way) => way !== undefined && way !== null);
}

/** Which of them is a layer's. */
export function turnsIndex({ sliding }: DecoderConfig, layer: number): number {
  return sliding?.rotary && sliding.layers.includes(layer) ? 1 : 0;
}

/** By what dimensions are turned, each [B or 1, 1, T, Dh / 2]; nothing where positions are learned. */
export type Turns<T = JaxArray> = { cosines: T; sines: T } | Record<string, never>;

/** The turns of positions [T] or [B, T]. */
export function turnsAt({ frequencies, magnitude }: Rotary, positions: JaxArray): Turns {
  const half = frequencies.length;
  const [B, T] =
    positions.shape.length === 1 ? [1, positions.shape[0]!] : (positions.shape as [number, number]);
  const angles = positions
    .reshape([B, 1, T, 1])
    .astype(np.float32)
    .mul(np.array([...frequencies]).reshape([1, 1, 1, half]));
  return { cosines: np.cos(angles.ref).mul(magnitude), sines: np.sin(angles).mul(magnitude) };
}

/** Turns [B, H, T, Dh]: of the 2 R dimensions that are turned, i is paired with i + R; those behind them stay. */
export function turned(x: JaxArray, { cosines, sines }: Turns): JaxArray {
  if (cosines === undefined) return x;
  const R = cosines.shape.at(-1)!;
  const [first, second, ...rest] = np.split(x, 2 * R < x.shape.at(-1)! ? [R, 2 * R] : 2, -1) as [
    JaxArray,
    JaxArray,
  ];
  return np.concatenate(
    [
      first.ref.mul(cosines.ref).sub(second.ref.mul(sines.ref)),
      second.mul(cosines.ref).add(first.mul(sines.ref)),
      ...rest,
    ],
    -1,
  );
}

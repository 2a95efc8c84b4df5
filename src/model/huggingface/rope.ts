/** @file What `config.json` says of rotary positions, in the forms of transformers 4 and 5. */

import { isDeepStrictEqual } from "node:util";
import type { z } from "zod";
import type { Rotary } from "../config.ts";
import { rotary } from "../rotary.ts";
import type { gemma3Schema, neoxSchema, phi3Schema, RopeJson } from "./keys.ts";

/** Where theta and scaling may be said. */
export interface RopeKeys {
  rope_parameters?: RopeJson | null | undefined;
  rope_scaling?: RopeJson | null | undefined;
  rope_theta?: number | null | undefined;
}

/** A head's dimensions, and the longest sequence. */
interface Sizes {
  headDim: number;
  context: number;
}

/**
 * How heads are turned, the first `share` of their dimensions.
 *
 * @throws Error naming the file, where two forms differ or a parameter is missing
 */
export function ropeOf(json: RopeKeys, { headDim, context }: Sizes, path: string, share = 1): Rotary {
  const { rope_parameters: rope, rope_scaling: olderRope } = json;
  if (rope && olderRope && !isDeepStrictEqual(rope, olderRope))
    throw new Error(
      `${path}: has rope_scaling and rope_parameters, which differ; remove the one that is wrong`,
    );
  const { rope_type, type, rope_theta, ...scaling } = rope ?? olderRope ?? {};
  const parameters = {
    ...scaling,
    rope_type: rope_type ?? type ?? "default",
    rope_theta: rope_theta ?? json.rope_theta ?? 10_000,
  };
  return rotary(Math.floor(headDim * share), context, parameters, path);
}

/** Of a Gemma 3: in layers that see everything, and in those with windows. */
export function gemma3Rope(json: z.infer<typeof gemma3Schema>): { full: RopeKeys; sliding: RopeKeys } {
  const byType = json.rope_parameters;
  return {
    full: {
      rope_parameters: byType?.full_attention,
      rope_scaling: json.rope_scaling,
      rope_theta: json.rope_theta ?? 1_000_000,
    },
    sliding: { rope_parameters: byType?.sliding_attention, rope_theta: json.rope_local_base_freq },
  };
}

/** Of a GPT-NeoX, whose keys have had several names. @throws Error naming the file, where they differ */
export function neoxRope(json: z.infer<typeof neoxSchema>, sizes: Sizes, path: string): Rotary {
  const { rotary_emb_base: theta, rotary_pct, rope_theta, partial_rotary_factor } = json;
  const rope = json.rope_parameters ?? json.rope_scaling ?? {};
  if ((rope_theta ?? theta) !== theta || (partial_rotary_factor ?? rotary_pct) !== rotary_pct)
    throw new Error(
      `${path}: rotary_emb_base and rope_theta, or rotary_pct and partial_rotary_factor, differ; remove those that are wrong`,
    );
  return ropeOf({ ...json, rope_theta: theta }, sizes, path, rope.partial_rotary_factor ?? rotary_pct);
}

/** Of a Phi-3: with factors for short and long sequences, of which those within the original context are run. */
export function phi3Rope(
  json: z.infer<typeof phi3Schema>,
  { headDim, context }: Sizes,
  path: string,
): { rotary: Rotary; context: number } {
  const rope = json.rope_parameters ?? json.rope_scaling ?? {};
  const original = json.original_max_position_embeddings ?? rope.original_max_position_embeddings;
  // Also by the names that it had first.
  const isLong = ({ rope_type, type }: RopeJson) =>
    ["longrope", "su", "yarn"].includes(rope_type ?? type ?? "");
  const named = (keys: RopeJson | null | undefined) =>
    keys && isLong(keys)
      ? { ...keys, rope_type: "longrope", original_max_position_embeddings: original }
      : keys;
  const keys = { rope_parameters: named(json.rope_parameters), rope_scaling: named(json.rope_scaling) };
  const share = rope.partial_rotary_factor ?? json.partial_rotary_factor ?? 1;
  return {
    rotary: ropeOf({ ...keys, rope_theta: json.rope_theta }, { headDim, context }, path, share),
    context: isLong(rope) && original ? Math.min(context, original) : context,
  };
}

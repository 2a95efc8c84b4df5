/** @file `config.json` of a Hugging Face checkpoint, as a configuration of ours. */

import { z } from "zod";
import { parseForeign } from "../../foreign.ts";
import type { DecoderConfig } from "../config.ts";
import { type Family, families } from "./families.ts";
import { tokenIds } from "./keys.ts";

/** What `model_type` may be. */
export const supportedTypes = Object.keys(families) as (keyof typeof families)[];

/**
 * @param json the contents of `config.json`
 * @param generation the contents of `generation_config.json`, whose end tokens count, where it has some
 * @param path the file's name, for error messages
 * @throws Error naming the file and the architecture that is not supported, or the key that is wrong.
 */
export function readDecoderConfig(json: unknown, generation: unknown, path: string): DecoderConfig {
  const { model_type: type, architectures } = (json ?? {}) as {
    model_type?: unknown;
    architectures?: unknown;
  };
  if (!(supportedTypes as readonly unknown[]).includes(type)) {
    const name = Array.isArray(architectures) ? String(architectures[0]) : JSON.stringify(type);
    const found =
      name === undefined
        ? "names no architecture"
        : `the architecture ${name} (model_type ${JSON.stringify(type)}) is not supported`;
    throw new Error(`${path}: ${found}; ${supportedTypes.join(", ")} are supported`);
  }
  const { schema, read } = families[type as keyof typeof families] as Family<{ eos_token_id?: Ends }>;
  const parsed = parseForeign(schema, json, path);
  // As transformers has it: the configuration's own count only where that of generation names none.
  const preferred = z.looseObject({ eos_token_id: tokenIds }).safeParse(generation).data?.eos_token_id;
  const endTokens = [...new Set([preferred ?? parsed.eos_token_id ?? []].flat())];
  return { ...read(parsed, path), endTokens };
}

type Ends = z.infer<typeof tokenIds>;

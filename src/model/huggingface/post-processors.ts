/** @file Post-processors of `tokenizer.json`: what stands before and behind every text. */

import { z } from "zod";
import { componentOf, type Kinds, kind } from "./kinds.ts";

/** Tokens before a text. Those behind it are no part of a text that is to be gone on with. */
type Beginning = readonly number[];

const token = z.tuple([z.string(), z.int().min(0)]);
const cls = kind(
  { sep: token, cls: token, trim_offsets: z.boolean().optional(), add_prefix_space: z.boolean().optional() },
  ({ cls }): Beginning => [cls[1]],
);

const kinds: Kinds<Beginning> = {
  TemplateProcessing: kind(
    {
      single: z.array(
        z.union([
          z.strictObject({ SpecialToken: z.strictObject({ id: z.string(), type_id: z.int() }) }),
          z.strictObject({ Sequence: z.strictObject({ id: z.literal("A"), type_id: z.int() }) }),
        ]),
      ),
      /** Of two texts, which there never are. */
      pair: z.unknown().optional(),
      special_tokens: z.record(
        z.string(),
        z.strictObject({ id: z.string(), ids: z.array(z.int().min(0)), tokens: z.array(z.string()) }),
      ),
    },
    ({ single, special_tokens }, where) => {
      const text = single.findIndex((piece) => "Sequence" in piece);
      if (single.filter((piece) => "Sequence" in piece).length !== 1)
        throw new Error(`${where}: the template "single" should have the text (Sequence A) once`);
      return single.slice(0, text).flatMap((piece) => {
        const name = "SpecialToken" in piece ? piece.SpecialToken.id : "";
        const token = special_tokens[name];
        if (token === undefined)
          throw new Error(`${where}: ${JSON.stringify(name)} is none of its special_tokens`);
        return token.ids;
      });
    },
  ),
  BertProcessing: cls,
  RobertaProcessing: cls,
  ByteLevel: kind(
    {
      add_prefix_space: z.boolean().optional(),
      trim_offsets: z.boolean().optional(),
      use_regex: z.boolean().optional(),
    },
    () => [],
  ),
  // The last one is put around what those before it made.
  Sequence: kind({ processors: z.array(z.unknown()) }, ({ processors }, where) =>
    processors
      .map((step, i) => beginningOf(step, `${where}.processors[${i}]`))
      .reverse()
      .flat(),
  ),
};

/** @throws Error naming what is not supported */
export function beginningOf(settings: unknown, where: string): Beginning {
  return settings === null || settings === undefined ? [] : componentOf(kinds, settings, where);
}

/** @file Added tokens of a checkpoint, from all places that `transformers` takes them from. */

import { z } from "zod";
import type { AddedToken } from "../tokens/added.ts";

const flags = {
  single_word: z.boolean().optional(),
  lstrip: z.boolean().optional(),
  rstrip: z.boolean().optional(),
  normalized: z.boolean().optional(),
  special: z.boolean().optional(),
};
const withId = z.strictObject({ id: z.int().min(0), content: z.string(), ...flags });
const withoutId = z.looseObject({ content: z.string(), ...flags });
const tokenSchema = z.union([z.string(), withoutId]);

/** What `tokenizer_config.json` says of tokens and templates; much else in it is for classes of Python's. */
export const settingsSchema = z.looseObject({
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish(),
  ...{ bos_token: tokenSchema.nullish(), eos_token: tokenSchema.nullish(), unk_token: tokenSchema.nullish() },
  ...{ sep_token: tokenSchema.nullish(), pad_token: tokenSchema.nullish(), cls_token: tokenSchema.nullish() },
  mask_token: tokenSchema.nullish(),
  additional_special_tokens: z.array(tokenSchema).nullish(),
  extra_special_tokens: z.union([z.array(tokenSchema), z.record(z.string(), tokenSchema)]).nullish(),
  added_tokens_decoder: z.record(z.string().regex(/^\d+$/), withoutId).nullish(),
  /** Are special tokens read as other text? */
  split_special_tokens: z.boolean().nullish(),
});

export type TokenizerSettings = z.infer<typeof settingsSchema>;
type TokenSetting = TokenizerSettings["eos_token"];

/** The text of a token, however it is given. */
export function textOf(token: TokenSetting): string | undefined {
  return typeof token === "string" ? token : token?.content;
}

/** As templates know them, in the order in which they are added. */
const NAMED = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const;

/** The text of the tokens that have a name, by it. */
export function namedTokens(settings: TokenizerSettings): Record<string, string> {
  return Object.fromEntries(
    NAMED.flatMap((name) => {
      const text = textOf(settings[name]);
      return text === undefined ? [] : [[name, text]];
    }),
  );
}

/**
 * Tokens of `tokenizer.json`; those of `added_tokens_decoder`, whose flags win; tokens with a name, and extra ones, where
 * they are not among them. One that is not in the vocabulary gets the next number.
 *
 * @param listed `added_tokens` of `tokenizer.json`
 * @param vocabulary of its model
 * @throws Error where a token's number is not the one that Python's tokenizers gives it
 */
export function addedTokens(
  listed: readonly unknown[],
  settings: TokenizerSettings,
  vocabulary: ReadonlyMap<string, number>,
  path: string,
): AddedToken[] {
  const added = new Map<string, AddedToken>();
  const named = new Set(Object.values(namedTokens(settings)));
  let next = vocabulary.size;
  const add = ({ content, ...given }: z.infer<typeof withoutId>, expected?: number) => {
    if (content === "") return;
    const id = added.get(content)?.id ?? vocabulary.get(content) ?? next;
    if (expected !== undefined && expected !== id)
      throw new Error(
        `${path}: the added token ${JSON.stringify(content)} is said to be ${expected}, and Python's tokenizers makes it ${id}: its vocabulary of ${vocabulary.size} has gaps, or the token twice`,
      );
    next = Math.max(next, id + 1);
    const special = given.special || named.has(content) || added.get(content)?.special || false;
    const { single_word = false, lstrip = false, rstrip = false, normalized = !special } = given;
    added.set(content, { id, content, single_word, lstrip, rstrip, normalized, special });
  };
  listed.forEach((token, i) => {
    const parsed = withId.safeParse(token);
    if (!parsed.success) throw new Error(`${path}: added_tokens[${i}]: ${z.prettifyError(parsed.error)}`);
    add(parsed.data, parsed.data.id);
  });
  const decoder = Object.entries(settings.added_tokens_decoder ?? {});
  for (const [id, token] of decoder.sort(([a], [b]) => Number(a) - Number(b))) add(token, Number(id));
  const addMissing = (token: TokenSetting) => {
    const text = textOf(token);
    if (text === undefined || added.has(text)) return;
    add({ ...(typeof token === "object" ? token : null), content: text, special: true });
  };
  for (const name of NAMED) addMissing(settings[name]);
  const extra = settings.extra_special_tokens ?? settings.additional_special_tokens ?? [];
  for (const token of Object.values(extra)) addMissing(token);
  return [...added.values()];
}

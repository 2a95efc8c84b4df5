/**
 * @file `tokenizer.json`, run to the tokens of Python's tokenizers. @huggingface/tokenizers passes over settings that it
 * does not know (`single_word`, `dropout`, unknown words, ...), so that only its translation of patterns is used.
 */

import { z } from "zod";
import type { Tokenizer } from "../tokenizer.ts";
import { type AddedToken, splitterAt } from "../tokens/added.ts";
import { assembleTokenizer } from "../tokens/assemble.ts";
import { chatTemplate } from "../tokens/chat.ts";
import { withinTime } from "../tokens/within.ts";
import { addedTokens, namedTokens, type TokenizerSettings, textOf } from "./added-tokens.ts";
import { decoderOf } from "./decoders.ts";
import { normalizerOf } from "./normalizers.ts";
import { beginningOf } from "./post-processors.ts";
import { preTokenizerOf } from "./pre-tokenizers.ts";
import { subwordsOf } from "./subwords.ts";

const fileSchema = z.strictObject({
  version: z.literal("1.0").optional(),
  /** Only where a caller of Python's asks for them, which nobody does here. */
  truncation: z.unknown().optional(),
  padding: z.unknown().optional(),
  added_tokens: z.array(z.unknown()).default([]),
  normalizer: z.unknown().optional(),
  pre_tokenizer: z.unknown().optional(),
  post_processor: z.unknown().optional(),
  decoder: z.unknown().optional(),
  model: z.unknown().optional(),
});

/** What a tokenizer is made of. */
export interface TokenizerSource {
  /** The contents of `tokenizer.json`. */
  json: unknown;
  settings: TokenizerSettings;
  /** Tokens at which the model's completions end. */
  ends: readonly number[];
  /** Stands behind a whole completion; the tokenizer's own `eos_token` unless given. */
  endOfText?: number;
  /** The model's number of tokens. */
  vocabulary: number;
  /** Does a conversation begin as a text does? By default only with what its template writes. */
  chatBegins?: boolean;
  /** Of `tokenizer.json`, for errors. */
  path: string;
}

/** @throws Error naming the file and the key that is wrong or not supported */
export function huggingFaceTokenizer(source: TokenizerSource): Tokenizer {
  const { settings, path } = source;
  const parsed = fileSchema.safeParse(source.json);
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  const json = parsed.data;
  const within = <T>(work: () => T) => withinTime(`${path}: making tokens of a text`, work);

  const subwords = subwordsOf(json.model, `${path}: model`);
  const normalize = normalizerOf(json.normalizer, `${path}: normalizer`);
  const preTokenize = preTokenizerOf(json.pre_tokenizer, `${path}: pre_tokenizer`);
  const decode = decoderOf(json.decoder, `${path}: decoder`);
  const added = addedTokens(json.added_tokens, settings, subwords.vocabulary, path);
  const skipped = settings.split_special_tokens === true ? (token: AddedToken) => token.special : () => false;

  const [raw, normalized] = [false, true].map((flag) => added.filter((token) => token.normalized === flag));
  const asWritten = splitterAt(raw!, { skipped });
  const asNormalized = named(`${path}: added_tokens`, () =>
    splitterAt(normalized!, { skipped, written: ({ content }) => within(() => normalize(content)) }),
  );
  const names = new Map([...subwords.vocabulary].map(([text, token]) => [token, text]));
  for (const { id, content, normalized } of added) names.set(id, normalized ? normalize(content) : content);
  const special = new Set(added.filter((token) => token.special).map(({ content }) => content));

  const byText = (text: string | undefined) =>
    text === undefined
      ? undefined
      : (added.find(({ content }) => content === text)?.id ?? subwords.vocabulary.get(text));
  const own = byText(textOf(settings.eos_token));
  const endOfText = source.endOfText ?? own ?? source.ends[0];
  if (endOfText === undefined)
    throw new Error(
      `${path}: there is no eos_token, and no eos_token_id beside it, so completions could not end; add one`,
    );
  const template = templateOf(settings);

  return assembleTokenizer({
    begin: beginningOf(json.post_processor, `${path}: post_processor`),
    ends: [...new Set([...source.ends, endOfText])],
    endOfText,
    tokens: (text) =>
      within(() =>
        asWritten(text).flatMap((part, i) => {
          if (typeof part === "number") return [part];
          return asNormalized(normalize(part)).flatMap((part, j) => {
            if (typeof part === "number") return [part];
            const pieces = preTokenize({ text: part, first: i === 0 && j === 0 });
            return pieces.flatMap((piece) => subwords.tokens(piece.text));
          });
        }),
      ),
    text: (tokens) => {
      const texts = tokens.flatMap((token) => names.get(token) ?? []).filter((text) => !special.has(text));
      return texts.length === 0 ? "" : within(() => decode(texts).join(""));
    },
    name: (token) => names.get(token),
    render: template === undefined ? undefined : chatTemplate(template, namedTokens(settings), path),
    chatBegins: source.chatBegins ?? false,
    vocabulary: source.vocabulary,
    path,
  });
}

/** Says where an error is from. */
function named<T>(where: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
  }
}

function templateOf({ chat_template: template }: TokenizerSettings): string | undefined {
  const one = Array.isArray(template) ? template.find(({ name }) => name === "default")?.template : template;
  return one ?? undefined;
}

/** @file Models of `tokenizer.json`: from pieces of a text to tokens. */

import { z } from "zod";
import { joinNeighbours } from "../tokens/join.ts";
import { componentOf, type Kinds, kind } from "./kinds.ts";

/** A vocabulary, and how a piece is made of it. */
export interface Subwords {
  vocabulary: ReadonlyMap<string, number>;
  /** The tokens of a piece. @throws Error where it cannot be made of the vocabulary */
  tokens(piece: string): number[];
}

/** Tokens are kept as halves of one number. */
const MOST_TOKENS = 2 ** 26;
/** Pieces whose tokens are kept, and their longest. */
const KEPT = { pieces: 10_000, characters: 256 };

const vocab = z.custom<Record<string, number>>(
  (value) =>
    typeof value === "object" &&
    value !== null &&
    Object.values(value).every((id) => Number.isInteger(id) && id >= 0 && id < MOST_TOKENS),
  "should be an object of token ids",
);
const merges = z.custom<readonly (string | [string, string])[]>(
  (value) => Array.isArray(value) && value.every(isMerge),
  'should be a list of pairs, as ["a", "b"] or "a b"',
);

function isMerge(merge: unknown): boolean {
  const pair = typeof merge === "string" ? merge.split(" ") : merge;
  return Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === "string");
}

const kinds: Kinds<Subwords> = {
  BPE: kind(
    {
      vocab,
      merges,
      dropout: z.literal(0, "it is random; only null and 0 are supported").nullish(),
      unk_token: z.string().nullish(),
      continuing_subword_prefix: z.literal("", "it is not supported").nullish(),
      end_of_word_suffix: z.string().nullish(),
      fuse_unk: z.boolean().nullish(),
      byte_fallback: z.boolean().nullish(),
      ignore_merges: z.boolean().nullish(),
    },
    (settings, where) => {
      const vocabulary = new Map(Object.entries(settings.vocab));
      const known = (text: string) => {
        const token = vocabulary.get(text);
        if (token === undefined)
          throw new Error(
            `${where}: ${JSON.stringify(text)}, of its merges or unk_token, is not in its vocab`,
          );
        return token;
      };
      const rules = new Map(
        settings.merges.map((merge, rank) => {
          const [left, right] = typeof merge === "string" ? (merge.split(" ") as [string, string]) : merge;
          return [known(left) * MOST_TOKENS + known(right), { symbol: known(left + right), rank }];
        }),
      );
      const join = (left: number, right: number) => rules.get(left * MOST_TOKENS + right);
      const kept = new Map<string, number[]>();

      /** A token for each character; for one that is unknown its bytes, the unknown token, or none. */
      const characters = (piece: string) => {
        const all = Array.from(piece);
        const tokens: number[] = [];
        // As in Python's tokenizers, it waits for the next character that is known.
        let unknown: number | undefined;
        const flush = () => {
          if (unknown !== undefined) tokens.push(unknown);
          unknown = undefined;
        };
        all.forEach((character, i) => {
          const text = i === all.length - 1 ? character + (settings.end_of_word_suffix ?? "") : character;
          const token = vocabulary.get(text);
          const bytes = settings.byte_fallback ? byteTokens(text, vocabulary) : undefined;
          if (token !== undefined) {
            flush();
            tokens.push(token);
          } else if (bytes) tokens.push(...bytes);
          else if (settings.unk_token != null) {
            if (!settings.fuse_unk) flush();
            unknown = known(settings.unk_token);
          }
        });
        flush();
        return tokens;
      };

      return {
        vocabulary,
        tokens: (piece) => {
          const whole = settings.ignore_merges ? vocabulary.get(piece) : undefined;
          if (whole !== undefined) return [whole];
          const found = kept.get(piece) ?? joinNeighbours(characters(piece), join);
          if (piece.length < KEPT.characters && kept.size < KEPT.pieces) kept.set(piece, found);
          return found;
        },
      };
    },
  ),
  WordLevel: kind({ vocab, unk_token: z.string() }, ({ vocab, unk_token }, where) => {
    const vocabulary = new Map(Object.entries(vocab));
    const unknown = unknownOf(vocabulary, unk_token, where);
    return { vocabulary, tokens: (piece) => [vocabulary.get(piece) ?? unknown(piece)] };
  }),
  WordPiece: kind(
    {
      vocab,
      unk_token: z.string(),
      continuing_subword_prefix: z.string(),
      max_input_chars_per_word: z.int().min(1),
    },
    ({ vocab, unk_token, continuing_subword_prefix: prefix, max_input_chars_per_word: most }, where) => {
      const vocabulary = new Map(Object.entries(vocab));
      const unknown = unknownOf(vocabulary, unk_token, where);
      return {
        vocabulary,
        tokens: (piece) => {
          const all = Array.from(piece);
          if (all.length > most) return [unknown(piece)];
          const tokens: number[] = [];
          for (let start = 0; start < all.length; ) {
            let end = all.length;
            let token: number | undefined;
            for (; end > start && token === undefined; end--)
              token = vocabulary.get((start > 0 ? prefix : "") + all.slice(start, end).join(""));
            if (token === undefined) return [unknown(piece)];
            tokens.push(token);
            start = end + 1;
          }
          return tokens;
        },
      };
    },
  ),
};

function unknownOf(vocabulary: ReadonlyMap<string, number>, text: string, where: string) {
  return (piece: string): number => {
    const token = vocabulary.get(text);
    if (token !== undefined) return token;
    throw new Error(
      `${where}: ${JSON.stringify(piece)} is not in the vocabulary, and neither is the unk_token ${JSON.stringify(text)}`,
    );
  };
}

/** The tokens of a text's bytes, where all have one. */
export function byteTokens(text: string, vocabulary: ReadonlyMap<string, number>): number[] | undefined {
  const tokens = Array.from(Buffer.from(text), (byte) =>
    vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
  );
  return tokens.every((token) => token !== undefined) ? tokens : undefined;
}

/** @throws Error naming what is not supported */
export function subwordsOf(settings: unknown, where: string): Subwords {
  // Files of before 2020 name no type; of those with merges there is one only.
  const untyped = typeof settings === "object" && settings !== null && !("type" in settings);
  return componentOf(kinds, untyped && "merges" in settings ? { type: "BPE", ...settings } : settings, where);
}

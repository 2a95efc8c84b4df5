/** @file Pre-tokenizers of `tokenizer.json`: how a text is cut into what becomes tokens piece by piece. */

import { z } from "zod";
import { byteCharacters } from "./bytes.ts";
import { componentOf, type Kinds, kind } from "./kinds.ts";
import { patternSchema, regexOf } from "./patterns.ts";

/** A part of a text. */
export interface Piece {
  text: string;
  /** Is it where the whole text begins? */
  first: boolean;
}

export type PreTokenize = (piece: Piece) => Piece[];

const behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
type Behavior = (typeof behaviors)[number];

/** Cuts at what matches: matches are left out, stand alone, or go with what is beside them. */
function cut({ text, first }: Piece, pattern: RegExp, behavior: Behavior, invert = false): Piece[] {
  let spans: { start: number; end: number; match: boolean }[] = [];
  let done = 0;
  for (const { 0: found, index } of text.matchAll(pattern)) {
    if (done < index) spans.push({ start: done, end: index, match: invert });
    done = index + found.length;
    spans.push({ start: index, end: done, match: !invert });
  }
  if (done < text.length) spans.push({ start: done, end: text.length, match: invert });
  if (behavior === "Removed") spans = spans.filter(({ match }) => !match);
  else if (behavior !== "Isolated") {
    const forwards = behavior !== "MergedWithNext";
    const merged: typeof spans = [];
    let wasMatch = false;
    for (const span of forwards ? spans : spans.reverse()) {
      const last = merged.at(-1);
      const joins = behavior === "Contiguous" ? span.match === wasMatch : span.match && !wasMatch;
      if (!last || !joins) merged.push({ ...span });
      else if (forwards) last.end = span.end;
      else last.start = span.start;
      wasMatch = span.match;
    }
    spans = forwards ? merged : merged.reverse();
  }
  return spans.flatMap(({ start, end }) =>
    start < end ? [{ text: text.slice(start, end), first: first && start === 0 }] : [],
  );
}

/** GPT-2's pattern, which `ByteLevel` cuts by unless told not to. */
const WORDS = regexOf(
  {
    Regex: "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  },
  "ByteLevel",
);
const WORD_OR_SIGNS =
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu;
const SPACE = /\p{White_Space}/gu;
const PUNCTUATION = /[!-/:-@[-`{-~]|\p{P}/gu;
const NUMBER = /\p{N}/gu;

const utf8 = new TextEncoder();
const asBytes = (text: string) => Array.from(utf8.encode(text), (byte) => byteCharacters[byte]).join("");

const kinds: Kinds<PreTokenize> = {
  ByteLevel: kind(
    {
      add_prefix_space: z.boolean(),
      /** Of offsets, which have no part in tokens. */
      trim_offsets: z.boolean().optional(),
      use_regex: z.boolean().default(true),
    },
    ({ add_prefix_space, use_regex }) =>
      ({ text, first }) => {
        const piece = { text: add_prefix_space && !text.startsWith(" ") ? ` ${text}` : text, first };
        const pieces = use_regex ? cut(piece, WORDS, "Isolated") : [piece];
        return pieces.map(({ text, first }) => ({ text: asBytes(text), first }));
      },
  ),
  Metaspace: kind(
    {
      replacement: z.string().regex(/^.$/u, "should be one character"),
      prepend_scheme: z.enum(["always", "first", "never"]).default("always"),
      /** As older files have it. */
      add_prefix_space: z.boolean().optional(),
      str_rep: z.string().optional(),
      split: z.boolean().default(true),
    },
    ({ replacement, prepend_scheme, add_prefix_space, split }, where) => {
      if (add_prefix_space === false && prepend_scheme === "first")
        throw new Error(`${where}: add_prefix_space false and prepend_scheme "first" contradict each other`);
      const scheme = add_prefix_space === false ? "never" : prepend_scheme;
      const pattern = regexOf({ String: replacement }, where);
      return ({ text, first }) => {
        const spaced = text.replaceAll(" ", () => replacement);
        const prepends = scheme === "always" || (scheme === "first" && first);
        const piece = {
          text: prepends && !spaced.startsWith(replacement) ? replacement + spaced : spaced,
          first,
        };
        return split ? cut(piece, pattern, "MergedWithNext") : [piece];
      };
    },
  ),
  Split: kind(
    { pattern: patternSchema, behavior: z.enum(behaviors), invert: z.boolean() },
    ({ pattern, behavior, invert }, where) => {
      const regex = regexOf(pattern, where);
      return (piece) => cut(piece, regex, behavior, invert);
    },
  ),
  Digits: kind({ individual_digits: z.boolean() }, ({ individual_digits }) => {
    return (piece) => cut(piece, NUMBER, individual_digits ? "Isolated" : "Contiguous");
  }),
  Punctuation: kind({ behavior: z.enum(behaviors).default("Isolated") }, ({ behavior }) => {
    return (piece) => cut(piece, PUNCTUATION, behavior);
  }),
  Whitespace: kind({}, () => (piece) => cut(piece, WORD_OR_SIGNS, "Removed", true)),
  WhitespaceSplit: kind({}, () => (piece) => cut(piece, SPACE, "Removed")),
  CharDelimiterSplit: kind({ delimiter: z.string().regex(/^.$/su) }, ({ delimiter }, where) => {
    const pattern = regexOf({ String: delimiter }, where);
    return (piece) => cut(piece, pattern, "Removed");
  }),
  BertPreTokenizer: kind({}, () => (piece) => {
    return cut(piece, SPACE, "Removed").flatMap((word) => cut(word, PUNCTUATION, "Isolated"));
  }),
  Sequence: kind({ pretokenizers: z.array(z.unknown()) }, ({ pretokenizers }, where) => {
    const steps = pretokenizers.map((step, i) => preTokenizerOf(step, `${where}.pretokenizers[${i}]`));
    return (piece) => steps.reduce((pieces, step) => pieces.flatMap(step), [piece]);
  }),
};

/** @throws Error naming what is not supported */
export function preTokenizerOf(settings: unknown, where: string): PreTokenize {
  return settings === null || settings === undefined
    ? (piece) => [piece]
    : componentOf(kinds, settings, where);
}

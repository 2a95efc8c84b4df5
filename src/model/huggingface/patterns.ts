/** @file Patterns of `tokenizer.json`, as regular expressions of JavaScript's. */

import * as library from "@huggingface/tokenizers";
import { z } from "zod";

/** Its declarations leave out the ends of files' names, so that this one is not found. */
const { SplitPreTokenizer } = library as unknown as {
  SplitPreTokenizer: new (settings: object) => { pattern: RegExp };
};

/** A text, or a regular expression in Oniguruma's syntax. */
export const patternSchema = z.union([
  z.strictObject({ String: z.string() }),
  z.strictObject({ Regex: z.string() }),
]);

/** Possessive and atomic, which the library would read as if they were neither. */
const POSSESSIVE = /\(\?>|[*+?]\+/;

/** @throws Error naming the expression that cannot be run */
export function regexOf(pattern: z.infer<typeof patternSchema>, where: string): RegExp {
  if ("String" in pattern) return new RegExp(pattern.String.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "gu");
  const source = JSON.stringify(pattern.Regex);
  const withoutClasses = pattern.Regex.replace(/\\./gs, "x").replace(/\[[^\]]*\]/g, "x");
  if (POSSESSIVE.test(withoutClasses))
    throw new Error(`${where}: possessive quantifiers and atomic groups are not supported: ${source}`);
  try {
    return new SplitPreTokenizer({ pattern, behavior: "Isolated", invert: false }).pattern;
  } catch (error) {
    throw new Error(`${where}: the regular expression ${source} cannot be read: ${(error as Error).message}`);
  }
}

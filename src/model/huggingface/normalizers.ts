/** @file Normalizers of `tokenizer.json`: what is done to a text before it is cut. */

import { z } from "zod";
import { componentOf, type Kinds, kind } from "./kinds.ts";
import { patternSchema, regexOf } from "./patterns.ts";

export type Normalize = (text: string) => string;

/** Characters that a text may have grown to: a few steps of a file's could make gigabytes of it. */
const MOST = 2 ** 22;
/** Characters that one may be replaced by, so that one step cannot. */
const LONGEST = 64;

const unicode = (form: string) => kind({}, () => (text: string) => text.normalize(form));

const kinds: Kinds<Normalize> = {
  NFC: unicode("NFC"),
  NFD: unicode("NFD"),
  NFKC: unicode("NFKC"),
  NFKD: unicode("NFKD"),
  // One by one: JavaScript's own lower case of a word looks at the letters around a sigma.
  Lowercase: kind({}, () => (text) => Array.from(text, (character) => character.toLowerCase()).join("")),
  Prepend: kind({ prepend: z.string().max(LONGEST) }, ({ prepend }) => {
    return (text) => (text === "" ? "" : prepend + text);
  }),
  Replace: kind(
    { pattern: patternSchema, content: z.string().max(LONGEST) },
    ({ pattern, content }, where) => {
      const regex = regexOf(pattern, where);
      return (text) => text.replaceAll(regex, () => content);
    },
  ),
  Sequence: kind({ normalizers: z.array(z.unknown()) }, ({ normalizers }, where) => {
    const steps = normalizers.map((step, i) => normalizerOf(step, `${where}.normalizers[${i}]`));
    return (text) =>
      steps.reduce((normalized, step) => {
        const result = step(normalized);
        if (result.length > MOST)
          throw new Error(`${where}: makes more than ${MOST} characters of a text of ${text.length}`);
        return result;
      }, text);
  }),
};

/** @throws Error naming what is not supported */
export function normalizerOf(settings: unknown, where: string): Normalize {
  return settings === null || settings === undefined ? (text) => text : componentOf(kinds, settings, where);
}

/** @file Decoders of `tokenizer.json`: from the texts of tokens back to a text. */

import { z } from "zod";
import { characterBytes } from "./bytes.ts";
import { componentOf, type Kinds, kind } from "./kinds.ts";
import { patternSchema, regexOf } from "./patterns.ts";

export type Decode = (texts: string[]) => string[];

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const strictUtf8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

const kinds: Kinds<Decode> = {
  ByteLevel: kind(
    {
      add_prefix_space: z.boolean().optional(),
      trim_offsets: z.boolean().optional(),
      use_regex: z.boolean().optional(),
    },
    () => (texts) => {
      const bytes = texts.flatMap((text) => {
        const all = Array.from(text, (character) => characterBytes.get(character));
        return all.every((byte) => byte !== undefined) ? all : [...Buffer.from(text)];
      });
      return [utf8.decode(Uint8Array.from(bytes))];
    },
  ),
  Metaspace: kind(
    {
      replacement: z.string(),
      prepend_scheme: z.enum(["always", "first", "never"]).default("always"),
      add_prefix_space: z.boolean().optional(),
      str_rep: z.string().optional(),
      split: z.boolean().optional(),
    },
    ({ replacement, prepend_scheme, add_prefix_space }) => {
      const drops = prepend_scheme !== "never" && add_prefix_space !== false;
      return (texts) =>
        texts.map((text, i) => text.replaceAll(replacement, () => (i === 0 && drops ? "" : " ")));
    },
  ),
  WordPiece: kind({ prefix: z.string(), cleanup: z.boolean() }, ({ prefix, cleanup }) => (texts) => {
    const joined = texts.map((text, i) => {
      if (i === 0) return text;
      return text.startsWith(prefix) ? text.slice(prefix.length) : ` ${text}`;
    });
    return cleanup ? joined.map(cleaned) : joined;
  }),
  BPEDecoder: kind({ suffix: z.string() }, ({ suffix }) => (texts) => {
    return texts.map((text, i) => text.replaceAll(suffix, i === texts.length - 1 ? "" : " "));
  }),
  ByteFallback: kind({}, () => (texts) => {
    const decoded: string[] = [];
    let bytes: number[] = [];
    const flush = () => {
      if (bytes.length === 0) return;
      try {
        decoded.push(strictUtf8.decode(Uint8Array.from(bytes)));
      } catch {
        decoded.push(...bytes.map(() => "\uFFFD"));
      }
      bytes = [];
    };
    for (const text of texts) {
      const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(text)?.[1];
      if (byte !== undefined) {
        bytes.push(Number.parseInt(byte, 16));
        continue;
      }
      flush();
      decoded.push(text);
    }
    flush();
    return decoded;
  }),
  Replace: kind({ pattern: patternSchema, content: z.string() }, ({ pattern, content }, where) => {
    const regex = regexOf(pattern, where);
    return (texts) => texts.map((text) => text.replaceAll(regex, () => content));
  }),
  Fuse: kind({}, () => (texts) => [texts.join("")]),
  Strip: kind(
    { content: z.string().regex(/^.$/su), start: z.int().min(0), stop: z.int().min(0) },
    ({ content, start, stop }) =>
      (texts) =>
        texts.map((text) => {
          let [from, to] = [0, text.length];
          for (let i = 0; i < start && text.startsWith(content, from); i++) from += content.length;
          for (let i = 0; i < stop && to > from && text.endsWith(content, to); i++) to -= content.length;
          return text.slice(from, to);
        }),
  ),
  Sequence: kind({ decoders: z.array(z.unknown()) }, ({ decoders }, where) => {
    const steps = decoders.map((step, i) => decoderOf(step, `${where}.decoders[${i}]`));
    return (texts) => steps.reduce((decoded, step) => step(decoded), texts);
  }),
};

/** English written with a space too many, in the order of Python's tokenizers. */
function cleaned(text: string): string {
  const replaced: [string, string][] = [
    [" .", "."],
    [" ?", "?"],
    [" !", "!"],
    [" ,", ","],
    [" ' ", "'"],
    [" n't", "n't"],
    [" 'm", "'m"],
    [" do not", " don't"],
    [" 's", "'s"],
    [" 've", "'ve"],
    [" 're", "'re"],
  ];
  return replaced.reduce((result, [from, to]) => result.replaceAll(from, to), text);
}

/** Without one, texts stand one space apart. @throws Error naming what is not supported */
export function decoderOf(settings: unknown, where: string): Decode {
  return settings === null || settings === undefined
    ? (texts) => [texts.join(" ")]
    : componentOf(kinds, settings, where);
}

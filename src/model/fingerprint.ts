/** @file What a tokenizer does, as a checksum: the same whatever file it came from, and another where a token is another. */

import { createHash } from "node:crypto";
import type { Tokenizer } from "./tokenizer.ts";

/** Texts that tokenizers cut differently: words, digits, white space, other scripts, what looks like markup. */
const TEXTS = [
  "The capital of France is Paris, isn't it?",
  "1234567890 3.14159 -42 0x1F",
  "  two  spaces\tand a tab\n\nand lines \r\n",
  "naïve façade, Straße, 東京, Здравствуйте, العربية, 👩‍👩‍👧",
  "def f(x):\n    return x + 1  # {'a': [1, 2]} <|im_end|> </s>",
  "true? yes! no. a b c aa bb ccc A B C",
  ..."abcdefghijklmnopqrstuvwxyz0123456789?!.,;:()[]{}<>=+-*/ \n",
];

/** Checksums of a tokenizer, and of the template by which it renders conversations. */
export interface TokenizerFingerprint {
  sha256: string;
  /** Of the template's source: what it renders may say today's date. `null` where there is none. */
  template: string | null;
}

/** @param vocabulary the model's number of tokens */
export function fingerprintOf(tokenizer: Tokenizer, vocabulary: number): TokenizerFingerprint {
  const hash = createHash("sha256");
  const add = (value: unknown) => hash.update(`${JSON.stringify(value)}\n`);
  for (const text of TEXTS)
    add([attempt(() => tokenizer.encode(text)), attempt(() => tokenizer.encodePrompt(text))]);
  add(tokenizer.endOfText);
  for (let token = 0; token < vocabulary; token++) add(attempt(() => tokenizer.decode([token])));
  const { template } = tokenizer;
  return { sha256: hash.digest("hex"), template: template === undefined ? null : sha256(template) };
}

/** What it gives, or that it gives nothing: an alphabet lacks characters. */
function attempt<T>(make: () => T): T | null {
  try {
    return make();
  } catch {
    return null;
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

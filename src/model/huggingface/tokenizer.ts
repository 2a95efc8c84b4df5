/** @file Tokenizers and chat templates of checkpoints: `tokenizer.json` by @huggingface/tokenizers, templates by @huggingface/jinja. */

import { Template } from "@huggingface/jinja";
import { Tokenizer as Library } from "@huggingface/tokenizers";
import type { ChatMessage, Tokenizer } from "../tokenizer.ts";

/** What `tokenizer_config.json` tells beside what the library reads. */
export interface TokenizerSettings {
  chat_template?: string | { name: string; template: string }[] | null;
  bos_token?: string | { content: string } | null;
  eos_token?: string | { content: string } | null;
  [other: string]: unknown;
}

export class HuggingFaceTokenizer implements Tokenizer {
  readonly endOfText: number;
  readonly chat?: (messages: readonly ChatMessage[]) => number[];
  readonly #library: Library;
  readonly #ends: ReadonlySet<number>;

  /**
   * @param json the contents of `tokenizer.json`
   * @param settings the contents of `tokenizer_config.json`
   * @param ends tokens that end a completion, the preferred one first
   */
  constructor(json: object, settings: TokenizerSettings, ends: readonly number[]) {
    this.#library = new Library(json, settings);
    this.#ends = new Set(ends);
    this.endOfText = ends[0]!;
    const source = settings.chat_template;
    const template = Array.isArray(source) ? source.find(({ name }) => name === "default")?.template : source;
    if (template) {
      const parsed = new Template(template);
      const text = (token: TokenizerSettings["bos_token"]) =>
        typeof token === "string" ? token : token?.content;
      this.chat = (messages) =>
        this.encode(
          parsed.render({
            messages: messages.map((message) => ({ ...message })),
            add_generation_prompt: true,
            bos_token: text(settings.bos_token) ?? "",
            eos_token: text(settings.eos_token) ?? "",
          }),
        );
    }
  }

  encode(text: string): number[] {
    // Some normalisers make a space of nothing.
    if (text === "") return [];
    return this.#library.encode(text, { add_special_tokens: false }).ids;
  }

  encodePrompt(text: string): number[] {
    return this.#library.encode(text).ids;
  }

  decode(tokens: Iterable<number>): string {
    const kept: number[] = [];
    for (const token of tokens) {
      if (this.#ends.has(token)) break;
      kept.push(token);
    }
    if (kept.length === 0) return "";
    return this.#library.decode(kept, { skip_special_tokens: true, clean_up_tokenization_spaces: false });
  }
}

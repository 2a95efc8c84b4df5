/** @file A tokenizer of its parts: first and last tokens are put on in one place, whatever the format. */

import type { Tokenizer } from "../tokenizer.ts";
import type { RenderChat } from "./chat.ts";

/** Tokens with a meaning of their own. */
export interface Marks {
  /** What a sequence begins with; often one token, or none. */
  begin: readonly number[];
  /** Tokens that end a completion. */
  ends: readonly number[];
  /** The one of them that stands behind a whole completion. */
  endOfText: number;
}

/** What differs between formats. */
export interface TokenizerParts extends Marks {
  /** The tokens of a text, with nothing added; not asked for the empty text. */
  tokens(text: string): number[];
  /** The text of tokens, at least one. */
  text(tokens: readonly number[]): string;
  /** A token as it is written in the vocabulary. */
  name(token: number): string | undefined;
  render: RenderChat | undefined;
  /** Does a conversation begin with `begin` where its template does not write it? */
  chatBegins: boolean;
  /** Tokens of the model that it is for: it may have more than the tokenizer. */
  vocabulary: number;
  /** The file that it is from, for errors. */
  path: string;
}

export function assembleTokenizer(parts: TokenizerParts): Tokenizer {
  const { begin, endOfText, render, vocabulary, path } = parts;
  const ends = new Set(parts.ends);

  const encode = (text: string) => {
    // Some normalisers make a space of nothing.
    if (text === "") return [];
    const tokens = parts.tokens(text);
    for (const token of tokens)
      if (token >= vocabulary)
        throw new Error(
          `${path}: token ${token} (${JSON.stringify(parts.name(token))}) is not in the model's vocabulary of ${vocabulary}: it was added to the tokenizer, and not to the model. Resize the model's embedding, or write the text without it`,
        );
    return tokens;
  };
  /** A text that was written with its first token gets no other. */
  const begun = (tokens: number[]) =>
    begin.every((token, i) => tokens[i] === token) ? tokens : [...begin, ...tokens];

  return {
    endOfText,
    encode,
    encodePrompt: (text) => begun(encode(text)),
    decode(tokens) {
      const kept: number[] = [];
      for (const token of tokens) {
        if (ends.has(token)) break;
        kept.push(token);
      }
      return kept.length === 0 ? "" : parts.text(kept);
    },
    ...(render && {
      template: render.source,
      chat: (messages, options) => {
        const tokens = encode(render(messages, options));
        return parts.chatBegins ? begun(tokens) : tokens;
      },
    }),
  };
}

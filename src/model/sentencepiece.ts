/** @file SentencePiece's BPE, as llama2.c and GGUF files of the first Llamas keep it: pieces with scores. */

import { byteTokens } from "./huggingface/subwords.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { type AddedToken, splitterAt } from "./tokens/added.ts";
import { assembleTokenizer, type TokenizerParts } from "./tokens/assemble.ts";
import { joinNeighbours } from "./tokens/join.ts";

/** A vocabulary with scores, and what is done at the edges of texts. */
export interface SentencePieces
  extends Pick<TokenizerParts, "begin" | "ends" | "endOfText" | "render" | "vocabulary" | "path"> {
  /** Pieces by token, with plain spaces; bytes are written `<0x0A>`. */
  pieces: readonly string[];
  /** The higher, the earlier a merge into this piece. */
  scores: readonly number[];
  /** Tokens that are found in texts before anything is merged. */
  added: readonly AddedToken[];
  /** Does a text begin with a space, as a word within it does? */
  spaceFirst: boolean;
}

/** Joins the best-scored neighbours until none are left (Kudo & Richardson 2018, "SentencePiece"); falls back to bytes. */
export function sentencePieceTokenizer(given: SentencePieces): Tokenizer {
  const { pieces, scores, added, spaceFirst, begin, path } = given;
  const vocabulary = new Map(pieces.map((piece, token) => [piece, token]));
  const split = splitterAt(added);
  const unseen = new Set([...begin, ...added.filter(({ special }) => special).map(({ id }) => id)]);

  const join = (left: string, right: string) => {
    const token = vocabulary.get(left + right);
    return token === undefined ? undefined : { symbol: left + right, rank: -scores[token]! };
  };
  const tokensOf = (piece: string) => {
    const token = vocabulary.get(piece);
    if (token !== undefined) return [token];
    const bytes = byteTokens(piece, vocabulary);
    if (!bytes) throw new Error(`${path}: ${JSON.stringify(piece)} is not in the model's vocabulary`);
    return bytes;
  };

  return assembleTokenizer({
    ...given,
    // As llama.cpp has it: what follows a token of the text begins as a text does.
    tokens: (text) =>
      split(text).flatMap((part) => {
        if (typeof part === "number") return [part];
        return joinNeighbours(Array.from(spaceFirst ? ` ${part}` : part), join).flatMap(tokensOf);
      }),
    text: (tokens) => {
      const bytes = tokens.flatMap((token) => {
        if (unseen.has(token)) return [];
        const piece = pieces[token] ?? "\uFFFD";
        const byte = /^<0x([0-9A-F]{2})>$/.exec(piece)?.[1];
        return byte === undefined ? [...Buffer.from(piece)] : [Number.parseInt(byte, 16)];
      });
      const text = Buffer.from(bytes).toString("utf8");
      return spaceFirst && text.startsWith(" ") ? text.slice(1) : text;
    },
    name: (token) => pieces[token],
    chatBegins: true,
  });
}

/** @file SentencePiece's BPE, as llama2.c and GGUF files of the first Llamas keep it: pieces with scores. */

import type { Tokenizer } from "./tokenizer.ts";

/** A vocabulary with scores, and the tokens with a meaning of their own. */
export interface SentencePieces {
  /** Pieces by token, with plain spaces; bytes are written `<0x0A>`. */
  pieces: readonly string[];
  /** The higher, the earlier a merge into this piece. */
  scores: readonly number[];
  begin: number;
  ends: readonly number[];
}

/** Joins the best-scored neighbours until none are left (Kudo & Richardson 2018, "SentencePiece"); falls back to bytes. */
export class SentencePieceTokenizer implements Tokenizer {
  readonly endOfText: number;
  readonly #vocabulary: SentencePieces;
  readonly #tokens: Map<string, number>;

  constructor(vocabulary: SentencePieces) {
    this.#vocabulary = vocabulary;
    this.endOfText = vocabulary.ends[0]!;
    this.#tokens = new Map(vocabulary.pieces.map((piece, token) => [piece, token]));
  }

  /** @throws Error where a character is neither a piece nor made of bytes that are. */
  encode(text: string): number[] {
    if (text === "") return [];
    // A word at the start is like any other: it has a space before it.
    const pieces = [...` ${text}`].flatMap((character) =>
      this.#tokens.has(character) ? [character] : this.#bytes(character),
    );
    for (;;) {
      let best = -1;
      let bestScore = -Infinity;
      for (let i = 0; i + 1 < pieces.length; i++) {
        const token = this.#tokens.get(pieces[i]! + pieces[i + 1]!);
        const score = token === undefined ? -Infinity : this.#vocabulary.scores[token]!;
        if (score > bestScore) [best, bestScore] = [i, score];
      }
      if (best < 0) return pieces.map((piece) => this.#tokens.get(piece)!);
      pieces.splice(best, 2, pieces[best]! + pieces[best + 1]!);
    }
  }

  encodePrompt(text: string): number[] {
    return [this.#vocabulary.begin, ...this.encode(text)];
  }

  decode(tokens: Iterable<number>): string {
    const bytes: number[] = [];
    for (const token of tokens) {
      if (this.#vocabulary.ends.includes(token)) break;
      const piece = this.#vocabulary.pieces[token] ?? "\uFFFD";
      const byte = /^<0x([0-9A-F]{2})>$/.exec(piece)?.[1];
      if (byte !== undefined) bytes.push(Number.parseInt(byte, 16));
      else if (token !== this.#vocabulary.begin) bytes.push(...Buffer.from(piece));
    }
    return Buffer.from(bytes).toString("utf8");
  }

  #bytes(character: string): string[] {
    return Array.from(Buffer.from(character), (byte) => {
      const piece = `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
      if (!this.#tokens.has(piece))
        throw new Error(`tokenizer: ${JSON.stringify(character)} is not in the model's vocabulary`);
      return piece;
    });
  }
}

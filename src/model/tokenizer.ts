/** @file A tokenizer with one token per character. */

/** The token that ends a completion, and fills the space behind it. */
export const END_OF_TEXT = 0;

export class CharacterTokenizer {
  readonly alphabet: string;
  readonly #tokens: Map<string, number>;
  readonly #characters: string[];

  /** @throws Error where a character occurs twice. */
  constructor(alphabet: string) {
    this.alphabet = alphabet;
    this.#characters = [...alphabet];
    this.#tokens = new Map(this.#characters.map((character, i) => [character, i + 1]));
    if (this.#tokens.size !== this.#characters.length)
      throw new Error(`tokenizer: a character occurs twice in the alphabet ${JSON.stringify(alphabet)}`);
  }

  /** @throws Error naming the first character that is not in the alphabet. */
  encode(text: string): number[] {
    return Array.from(text, (character) => {
      const token = this.#tokens.get(character);
      if (token === undefined)
        throw new Error(
          `tokenizer: ${JSON.stringify(character)} in ${JSON.stringify(text)} is not in the model's alphabet ${JSON.stringify(this.alphabet)}`,
        );
      return token;
    });
  }

  /** The text up to the end-of-text token, or of all tokens where there is none. */
  decode(tokens: Iterable<number>): string {
    let text = "";
    for (const token of tokens) {
      if (token === END_OF_TEXT) break;
      text += this.#characters[token - 1] ?? "\uFFFD";
    }
    return text;
  }
}

/** @file From text to tokens and back: the interface, and a tokenizer with one token per character. */

/** From text to tokens and back. */
export interface Tokenizer {
  /** The token that stands behind a whole completion: where there are several ends, that of a turn. */
  readonly endOfText: number;
  /** The tokens of a text, with nothing added: none for the empty text. */
  encode(text: string): number[];
  /**
   * The tokens of a text that begins a sequence, with what the model expects there (a first token, or nothing); a text that
   * has it already gets no other.
   */
  encodePrompt(text: string): number[];
  /** The text up to the first token that ends a completion, or of all tokens where there is none. */
  decode(tokens: Iterable<number>): string;
  /** The tokens of a conversation up to where the assistant answers; only where the model has a chat template. */
  chat?: (messages: readonly ChatMessage[], options?: ChatOptions) => number[];
  /** That template, as it is written. */
  readonly template?: string;
}

/** The tokens of a completion that was written to its end: one that has its last token already gets no other. */
export function wholeCompletion(tokenizer: Tokenizer, text: string): number[] {
  const tokens = tokenizer.encode(text);
  return tokens.at(-1) === tokenizer.endOfText ? tokens : [...tokens, tokenizer.endOfText];
}

/** One turn of a conversation. */
export interface ChatMessage {
  /** `tool`: what a tool answered. */
  role: "system" | "user" | "assistant" | "tool";
  content: string;
  /** Calls of tools that the assistant made; of a tool's answer, which one it is for. */
  tool_calls?: readonly ToolCall[];
  tool_call_id?: string;
  /** The tool that answered. */
  name?: string;
}

/** A call of a tool, with its arguments as they are, and not as a text. */
export interface ToolCall {
  type: "function";
  id?: string;
  function: { name: string; arguments: Readonly<Record<string, unknown>> };
}

/** What a template is told beside the conversation. */
export interface ChatOptions {
  /** Tools that the model may call, as JSON schemas: `{ type: "function", function: { name, description, parameters } }`. */
  tools?: readonly object[] | undefined;
}

/** The embedded model's end of text. */
export const END_OF_TEXT = 0;

export class CharacterTokenizer implements Tokenizer {
  readonly endOfText = END_OF_TEXT;
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

  encodePrompt(text: string): number[] {
    return this.encode(text);
  }

  decode(tokens: Iterable<number>): string {
    let text = "";
    for (const token of tokens) {
      if (token === END_OF_TEXT) break;
      text += this.#characters[token - 1] ?? "\uFFFD";
    }
    return text;
  }
}

/** @file Chat templates: Jinja by @huggingface/jinja, with the variables and the limits that `transformers` gives it. */

import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import type { ChatMessage, ChatOptions } from "../tokenizer.ts";
import { withinTime } from "./within.ts";

// The library writes truth values as JSON has them; Python's templates were written for Python's.
const truthValue = Object.getPrototypeOf(new Environment().set("truth", true)) as { value: boolean };
Object.defineProperty(truthValue, "toString", {
  value(this: { value: boolean }) {
    return this.value ? "True" : "False";
  },
});

/** A conversation as one text, up to where the assistant answers. */
export interface RenderChat {
  (messages: readonly ChatMessage[], options?: ChatOptions): string;
  /** The template as it is written. */
  source: string;
}

/** The longest range, as in Jinja's own sandbox, and the longest text. */
const LONGEST = { range: 100_000, text: 10_000_000 };

/**
 * @param source the template
 * @param special the text of special tokens by name, `bos_token` and others, of those that there are
 * @param where the file that it is from, for errors
 * @throws Error where it is no template; what it gives throws where it refuses a conversation, or never ends
 */
export function chatTemplate(
  source: string,
  special: Readonly<Record<string, string>>,
  where: string,
): RenderChat {
  const what = `${where}: the chat template`;
  const guarded = <T>(work: () => T): T => {
    try {
      return withinTime(what, work);
    } catch (error) {
      const { name, message: said } = error as Error;
      // The library's parser stumbles where a template ends too early.
      const message = name === "TypeError" ? "it is cut off or malformed" : said;
      throw new Error(message.startsWith(what) ? message : `${what}: ${message}`, { cause: error });
    }
  };
  const template = guarded(() => parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true })));
  const render = (messages: readonly ChatMessage[], { tools }: ChatOptions = {}) => {
    if (messages.length === 0) throw new Error(`${what}: the conversation has no messages`);
    const text = guarded(() => {
      const environment = new Environment();
      const variables = {
        ...globals,
        ...special,
        messages: messages.map((message) => ({ ...message })),
        tools: tools ?? null,
        documents: null,
        add_generation_prompt: true,
      };
      for (const [name, value] of Object.entries(variables)) environment.set(name, value);
      return (new Interpreter(environment).run(template) as { value: string }).value;
    });
    if (text.length > LONGEST.text)
      throw new Error(`${what} makes ${text.length} characters; at most ${LONGEST.text} are read`);
    return text;
  };
  return Object.assign(render, { source });
}

/** Jinja's constants, and what `transformers` adds to its functions. */
const globals = {
  ...{ true: true, false: false, none: null, True: true, False: false, None: null },
  range: limitedRange,
  strftime_now: (format: string) => strftime(format, new Date()),
  raise_exception: (message: string) => {
    throw new Error(message);
  },
};

/** Python's `range`, of at most so many numbers. */
function limitedRange(...given: unknown[]): number[] {
  const numbers = given.filter((value): value is number => typeof value === "number");
  const [start, stop, step] =
    numbers.length === 1 ? [0, numbers[0]!, 1] : [numbers[0]!, numbers[1]!, numbers[2] ?? 1];
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!(count <= LONGEST.range)) throw new Error(`a range of more than ${LONGEST.range} numbers`);
  return Array.from({ length: count }, (_, i) => start + i * step);
}

/** Python's `strftime`, in English whatever the machine speaks. */
function strftime(format: string, date: Date): string {
  const name = (options: Intl.DateTimeFormatOptions) => date.toLocaleDateString("en-US", options);
  const padded = (value: number, length = 2) => String(value).padStart(length, "0");
  const made: Record<string, () => string> = {
    "%": () => "%",
    Y: () => padded(date.getFullYear(), 4),
    y: () => padded(date.getFullYear() % 100),
    m: () => padded(date.getMonth() + 1),
    d: () => padded(date.getDate()),
    B: () => name({ month: "long" }),
    b: () => name({ month: "short" }),
    A: () => name({ weekday: "long" }),
    a: () => name({ weekday: "short" }),
    H: () => padded(date.getHours()),
    I: () => padded(date.getHours() % 12 || 12),
    M: () => padded(date.getMinutes()),
    S: () => padded(date.getSeconds()),
    p: () => (date.getHours() < 12 ? "AM" : "PM"),
  };
  return format.replace(/%(.?)/gs, (directive, letter: string) => {
    if (!Object.hasOwn(made, letter)) throw new Error(`strftime_now: ${directive} is not supported`);
    return made[letter]!();
  });
}

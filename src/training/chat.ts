/** @file Questions to a model on a server that speaks OpenAI's chat completions: asked again where that may help. */

import { setTimeout } from "node:timers/promises";
import pRetry from "p-retry";
import { z } from "zod";
import type { ChatMessage } from "../model/index.ts";
import { bearer, fetchWithin } from "../network.ts";

/** A model on a server, and how it is asked. */
export interface ChatServer {
  /**
   * Where the API is, its version included: `http://localhost:8000/v1`. Requests go to its path with `/chat/completions` behind it,
   * unless it ends so already; a query, such as `?api-version=2024-06-01`, is sent with each.
   */
  url: string;
  /** The model, as the server calls it. */
  model: string;
  /** The environment variable that holds the server's key. No key is sent unless it is named; it is never written anywhere. */
  keyVariable?: string;
  /** What requests say beside the model and the question, such as `{ max_tokens: 5 }`. The temperature is 0 unless given. */
  request?: Readonly<Record<string, unknown>>;
  /** Milliseconds that an answer is waited for. Default 60,000. */
  timeout?: number;
  /** How often a question is asked again where the server fails, is busy, or gives no answer that can be read. Default 5. */
  retries?: number;
  /** Milliseconds before it is asked again; doubled each time, up to a minute. Default 1,000. */
  retryDelay?: number;
}

/** The longest pause between two requests, in milliseconds, whatever a server asks for. */
const LONGEST_PAUSE = 60_000;
/** Characters of a server's own words in an error. */
const QUOTED = 200;
/** Bytes of the longest answer that is read: a chat completion with some ten thousand words has a tenth of it. */
const LONGEST_ANSWER = 1 << 20;

/** There was no answer, however often it was asked. */
export class UnansweredError extends Error {}

/** What may be otherwise when it is tried again. */
export class PassingError extends Error {
  /** Milliseconds that the server asks to wait. */
  readonly pause: number;
  constructor(message: string, pause = 0) {
    super(message);
    this.pause = pause;
  }
}

/**
 * Asks a question. `read` makes what is wanted of the answer, and throws a `PassingError` where another answer is.
 *
 * @throws UnansweredError that says why there was no answer in the end
 */
export type AskServer = <T>(
  messages: readonly ChatMessage[],
  read: (answer: string) => T,
  signal: AbortSignal,
) => Promise<T>;

/**
 * @throws RangeError for a URL that is none
 * @throws Error where `keyVariable` names a variable that is not set
 */
export function chatWith(server: ChatServer): AskServer {
  const { model, request = {}, timeout = 60_000, retries = 5, retryDelay = 1000 } = server;
  const address = addressOf(server.url);
  const key = keyOf(server.keyVariable);
  const authorization =
    key === undefined ? {} : bearer(key, `the environment variable ${server.keyVariable}`);
  const quoted = (text: string) => {
    const safe = key === undefined ? text : text.replaceAll(key, "(the key)");
    return safe.replaceAll(/\s+/g, " ").trim().slice(0, QUOTED);
  };

  async function once(messages: readonly ChatMessage[], signal: AbortSignal): Promise<string> {
    const ended = AbortSignal.any([signal, AbortSignal.timeout(timeout)]);
    const { status, pause, text } = await post(messages, ended).catch((error: Error) => {
      signal.throwIfAborted();
      if (ended.aborted) throw new PassingError(`no answer within ${timeout} ms`);
      const { message, cause } = error;
      throw new PassingError(cause instanceof Error ? cause.message || String(cause) : message);
    });
    if (status === 408 || status === 429 || status >= 500)
      throw new PassingError(`status ${status}: ${quoted(text)}`, pause);
    if (status !== 200) throw new Error(`status ${status}: ${quoted(text)}`);
    const answer = contentOf(text);
    if (answer === undefined) throw new PassingError(`no chat completion: ${quoted(text)}`);
    return answer;
  }

  async function post(messages: readonly ChatMessage[], signal: AbortSignal) {
    const question = {
      method: "POST",
      headers: { "content-type": "application/json", ...authorization },
      body: JSON.stringify({ temperature: 0, ...request, model, messages }),
      signal,
    };
    const response = await fetchWithin(address, question, { bytes: LONGEST_ANSWER, silence: timeout });
    const pause = pauseOf(response.headers.get("retry-after"));
    return { status: response.status, pause, text: await response.text() };
  }

  return async (messages, read, signal) => {
    let tries = 0;
    const attempt = async () => {
      tries++;
      return read(await once(messages, signal));
    };
    try {
      return await pRetry(attempt, {
        ...{ retries, signal, minTimeout: retryDelay, maxTimeout: LONGEST_PAUSE, factor: 2, randomize: true },
        shouldRetry: ({ error }) => error instanceof PassingError,
        onFailedAttempt: async ({ error, retriesLeft }) => {
          if (error instanceof PassingError && retriesLeft > 0)
            await setTimeout(error.pause, undefined, { signal });
        },
      });
    } catch (error) {
      signal.throwIfAborted();
      throw new UnansweredError(
        `${model} at ${address.origin}${address.pathname} gave no answer (asked ${tries === 1 ? "once" : `${tries} times`}): ${(error as Error).message}`,
        { cause: error },
      );
    }
  };
}

const COMPLETIONS = "/chat/completions";

function addressOf(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^https?:$/.test(parsed.protocol) || parsed.username !== "" || parsed.password !== "")
    throw new RangeError(
      "the url of a server should begin with http:// or https:// and hold no key, as http://localhost:8000/v1",
    );
  const path = parsed.pathname.replace(/\/+$/, "");
  parsed.pathname = path.endsWith(COMPLETIONS) ? path : path + COMPLETIONS;
  parsed.hash = "";
  return parsed;
}

function keyOf(variable: string | undefined): string | undefined {
  if (variable === undefined) return undefined;
  const key = process.env[variable];
  if (!key?.trim())
    throw new Error(`the environment variable ${variable}, which should hold a server's key, is not set`);
  return key.trim();
}

/** Milliseconds of a `Retry-After`, which gives seconds or a date. */
function pauseOf(header: string | null): number {
  if (header === null) return 0;
  const milliseconds = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(milliseconds) ? 0 : Math.min(Math.max(0, milliseconds), LONGEST_PAUSE);
}

const responseSchema = z.object({
  choices: z.array(z.object({ message: z.object({ content: z.string().min(1) }) })).min(1),
});

/** What the model said; `undefined` where the text is no chat completion. */
function contentOf(text: string): string | undefined {
  try {
    return responseSchema.parse(JSON.parse(text)).choices[0]!.message.content;
  } catch {
    return undefined;
  }
}

/** @file An answer, whole or as a stream of server-sent events, in the form of OpenAI's chat completions. */

import { randomUUID } from "node:crypto";
import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import { Choice } from "./choice.ts";
import type { Desk, Stretch } from "./desk.ts";
import { refusalOf } from "./refusal.ts";
import type { CompletionRequest, Served } from "./request.ts";

/** Tokens of a stream between two reads by probes. */
const READ_EVERY = 16;

/** One of the completions of a request, while it is written. */
interface Coming {
  choice: Choice;
  pieces: ReadableStream<Stretch>;
}

/** Has the completions written, and forgets them where whoever asked has gone. @throws BusyError */
export async function answer(
  c: Context,
  desk: Desk,
  served: Served,
  asked: CompletionRequest,
): Promise<Response> {
  const id = `chatcmpl-${randomUUID()}`;
  const about = { id, created: Math.floor(Date.now() / 1000), model: served.name };
  const gone = new AbortController();
  const leave = () => gone.abort(new Error("whoever asked has gone"));
  c.req.raw.signal.addEventListener("abort", leave);
  try {
    const coming = Array.from({ length: asked.samples }, (_, i) =>
      order(desk, served, asked, i, gone.signal),
    );
    if (asked.stream) return streamed(c, coming, asked, about, leave);
    const all = await Promise.all(coming.map(whole));
    const counts = all.map(({ count }) => count);
    return c.json({
      ...{ ...about, object: "chat.completion", ...promptIds(asked), usage: usageOf(asked, counts) },
      choices: all.map(({ shown: { text, ...shown } }, index) => ({
        ...{ index, message: { role: "assistant", content: text, refusal: null }, ...shown },
      })),
    });
  } catch (error) {
    leave();
    throw error;
  }
}

function order(
  desk: Desk,
  { engine }: Served,
  asked: CompletionRequest,
  index: number,
  gone: AbortSignal,
): Coming {
  const { prompt, maxTokens, temperature, probes } = asked;
  const choice = new Choice(engine.tokenizer, asked);
  const pieces = desk.write(
    {
      ...{ prompt, maxTokens, temperature, probes, seed: [asked.seed, index] },
      readEvery: asked.stream ? READ_EVERY : Number.POSITIVE_INFINITY,
      onToken: (token, last) => choice.take(token, last),
    },
    gone,
  );
  return { choice, pieces };
}

/** A completion when it has ended, and how many tokens it has. */
async function whole({ choice, pieces }: Coming) {
  const tokens: number[] = [];
  const logprobs: number[] = [];
  const logits: Record<string, number[]> = {};
  let end: Stretch["end"];
  for await (const piece of pieces) {
    tokens.push(...piece.tokens);
    logprobs.push(...piece.logprobs);
    for (const [name, values] of Object.entries(piece.logits))
      logits[name] = [...(logits[name] ?? []), ...values];
    end = piece.end;
  }
  return { shown: choice.show({ tokens, logprobs, logits, ...(end && { end }) }), count: tokens.length };
}

function streamed(
  c: Context,
  coming: readonly Coming[],
  asked: CompletionRequest,
  about: object,
  leave: () => void,
): Response {
  return streamSSE(c, async (stream) => {
    stream.onAbort(leave);
    const send = (chunk: object) =>
      stream.writeSSE({ data: JSON.stringify({ ...about, object: "chat.completion.chunk", ...chunk }) });
    const follow = async ({ choice, pieces }: Coming, index: number) => {
      const delta = { role: "assistant", content: "" };
      const first = { index, delta, logprobs: null, finish_reason: null };
      await send({ ...promptIds(asked), choices: [first] });
      let count = 0;
      for await (const piece of pieces) {
        const { text, ...shown } = choice.show(piece);
        await send({ choices: [{ index, delta: { content: text }, ...shown }] });
        count += piece.tokens.length;
      }
      return count;
    };
    try {
      const counts = await Promise.all(coming.map(follow));
      if (asked.usage) await send({ choices: [], usage: usageOf(asked, counts) });
      await stream.writeSSE({ data: "[DONE]" });
    } catch (error) {
      leave();
      if (!stream.aborted) await stream.writeSSE({ data: JSON.stringify(refusalOf(error as Error).body) });
    }
  });
}

const promptIds = ({ tokenIds, prompt }: CompletionRequest) => tokenIds && { prompt_token_ids: prompt };

function usageOf({ prompt }: CompletionRequest, counts: readonly number[]) {
  const completion = counts.reduce((sum, count) => sum + count, 0);
  return {
    prompt_tokens: prompt.length,
    completion_tokens: completion,
    total_tokens: prompt.length + completion,
  };
}

import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createEngine, type Decoder, type Engine, type Model } from "../engine/index.ts";
import { listenAt, type RunningServer } from "../listen.ts";
import { CharacterTokenizer, initialWeights } from "../model/index.ts";
import { poolLogits } from "../probe/index.ts";
import type { Probe } from "../probe/types.ts";
import { randomFor } from "../random.ts";
import { Choice } from "./choice.ts";
import { createEndpoint, type EndpointOptions, type Served } from "./index.ts";
import { type CompletionRequest, readRequest } from "./request.ts";

const config = {
  architecture: "probeward-character" as const,
  // Many, so that few completions end early.
  alphabet: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
  ...{ context: 64, layers: 2, heads: 2, width: 16, hidden: 32 },
};
const engine = createEngine({
  config,
  weights: initialWeights(config, randomFor("endpoint")),
  tokenizer: new CharacterTokenizer(config.alphabet),
});
const probeAt = (layer: number, tap: Partial<Probe["tap"]> = {}): Probe => ({
  kind: "logistic",
  tap: { hook: `blocks.${layer}.hook_resid_post`, positions: "completion", pool: "max", ...tap },
  weight_D: Float32Array.from({ length: config.width }, (_, d) => Math.cos(d + layer)),
  ...{ bias: 0.1, threshold: 0 },
});
const probes = {
  early: probeAt(0),
  asked: probeAt(1, { positions: "follow-up", followUp: "ab", pool: "mean" }),
};
const served: Served = { name: "tiny", engine, probes };
const here: EndpointOptions = { host: "127.0.0.1", slots: 4 };
const { app } = createEndpoint(served, here);
afterAll(() => engine.close());

type Json = Record<string, unknown>;
const post = (body: unknown, headers: Json = {}, to = app) =>
  to.request("http://localhost/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", ...(headers as Record<string, string>) },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
const user = (content: string) => [{ role: "user", content }];
const request = { model: "tiny", messages: user("abc"), seed: 7, max_tokens: 40 };

interface Shown {
  finish_reason: string;
  message: { content: string };
  delta: { content: string };
  logprobs: { content: { token: string; logprob: number; bytes: number[] }[] };
  token_ids: number[];
  taps: Record<string, { logits: number[]; logit?: number; threshold?: number; flagged?: boolean }>;
}
interface Chunk {
  choices: Shown[];
  prompt_token_ids?: number[];
  usage: Json;
}
const whole = async (body: Json) => (await (await post(body)).json()) as Chunk;
async function streamed(body: Json): Promise<Chunk[]> {
  const text = await (await post({ ...body, stream: true })).text();
  const lines = text.split("\n\n").filter((line) => line !== "");
  expect(lines.pop()).toBe("data: [DONE]");
  return lines.map((line) => JSON.parse(line.slice("data: ".length)));
}

describe("a completion", () => {
  test("is what the engine samples, with its tokens and their log-probabilities", async () => {
    const prompt = engine.tokenizer.encodePrompt("abc");
    const [first, second] = await engine.reference.sample([prompt], { samples: 2, maxTokens: 40, seed: [7] });
    const { choices, usage, prompt_token_ids } = await whole({
      ...{ ...request, n: 2, logprobs: true, return_token_ids: true },
    });
    for (const [i, sampled] of [first!, second!].entries()) {
      const { token_ids, message, logprobs, finish_reason } = choices[i]!;
      expect(token_ids).toEqual(sampled.tokens);
      expect(message.content).toBe(engine.tokenizer.decode(sampled.tokens));
      expect(finish_reason).toBe(sampled.stopReason);
      expect(logprobs.content.map(({ logprob }) => logprob)).toEqual(
        [...sampled.logprobs].map((value) => expect.closeTo(value, 4)),
      );
      expect(logprobs.content.map(({ token }) => token).join("")).toBe(message.content);
    }
    expect(prompt_token_ids).toEqual(prompt);
    const tokens = first!.tokens.length + second!.tokens.length;
    expect(usage).toEqual({ prompt_tokens: 3, completion_tokens: tokens, total_tokens: 3 + tokens });
  });

  test("as a stream adds up to the same", async () => {
    const all = { ...request, n: 2, logprobs: true, return_token_ids: true, taps: ["early", "asked"] };
    const answer = await whole(all);
    // So that probes read them in several goes.
    expect(answer.choices[0]!.token_ids.length).toBeGreaterThan(32);
    const chunks = await streamed({ ...all, stream_options: { include_usage: true } });
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: answer.usage });
    for (const index of [0, 1]) {
      const own = chunks
        .flatMap(({ choices }) => choices)
        .filter((one) => (one as never as Json).index === index);
      const expected = answer.choices[index]!;
      expect(own[0]).toMatchObject({ delta: { role: "assistant", content: "" }, finish_reason: null });
      expect(own.map(({ delta }) => delta.content).join("")).toBe(expected.message.content);
      expect(own.slice(1).flatMap(({ token_ids }) => token_ids)).toEqual(expected.token_ids);
      expect(own.at(-1)!.finish_reason).toBe(expected.finish_reason);
      for (const [name, tap] of Object.entries(expected.taps)) {
        // Of batches of other shapes: equal but for rounding.
        const logits = tap.logits.map((logit) => expect.closeTo(logit, 5));
        expect(own.slice(1).flatMap(({ taps }) => taps[name]!.logits)).toEqual(logits);
        const { logit } = tap;
        const wholes = { ...tap, ...(logit !== undefined && { logit: expect.closeTo(logit, 5) }) };
        expect({ ...own.at(-1)!.taps[name], logits: tap.logits }).toEqual(wholes);
      }
    }
    // Without probes, every token comes by itself.
    const plain = await streamed({ ...request, return_token_ids: true });
    for (const { choices } of plain.slice(1)) expect(choices[0]!.token_ids).toHaveLength(1);
  });

  test("carries at each token what the engine reads there, and at the end what it reads of the whole", async () => {
    const { choices } = await whole({ ...request, return_token_ids: true, taps: ["early", "asked"] });
    const [{ token_ids, taps }] = choices as [Shown];
    const prompt = engine.tokenizer.encodePrompt("abc");
    const sequence = { tokens: [...prompt, ...token_ids], promptLength: prompt.length };
    for (const [name, probe] of Object.entries(probes)) {
      const followUp = engine.tokenizer.encode(probe.tap.followUp ?? "");
      const reads = [
        { as: "logits", probe, positions: "completion" } as const,
        { as: "logits", probe } as const,
      ];
      const [output] = await engine.reference.forward([sequence], { reads, followUp });
      const [tokens, tapped] = output!.reads as [Float32Array, Float32Array];
      const logit = poolLogits(tapped, probe.tap.pool);
      expect(taps[name]).toEqual({
        ...{ logits: [...tokens], logit, threshold: probe.threshold, flagged: logit >= probe.threshold },
      });
      expect(tokens).toHaveLength(token_ids.length);
    }
  });

  test("does not depend on what is asked beside it, and more than fit wait", async () => {
    const asked = Array.from({ length: 13 }, (_, i) => ({
      ...{
        ...request,
        messages: user("abcdefgh".slice(0, 1 + (i % 8))),
        seed: i,
        temperature: 0.5 + (i % 3) / 4,
      },
      ...{ return_token_ids: true, taps: i % 2 === 0 ? ["early"] : [] },
    }));
    const alone: Chunk[] = [];
    for (const one of asked) alone.push(await whole(one));
    const together = await Promise.all(asked.map((one) => whole(one)));
    expect(together.map(({ choices }) => choices)).toEqual(alone.map(({ choices }) => choices));
  });

  test("ends before a text that it should stop at, as a stream too", async () => {
    const hot = { ...request, max_tokens: 60, temperature: 2 };
    const long = (await whole(hot)).choices[0]!.message.content;
    expect(long.length).toBeGreaterThan(30);
    const stop = [long.slice(9, 12), "hhhhhhhh"];
    const at = { ...hot, stop, taps: ["early"], return_token_ids: true };
    const { choices } = await whole(at);
    const [{ message, finish_reason, token_ids, taps }] = choices as [Shown];
    expect(message.content).toBe(long.slice(0, long.indexOf(stop[0]!)));
    expect(finish_reason).toBe("stop");
    expect(token_ids).toHaveLength(long.indexOf(stop[0]!) + 3);
    expect(taps.early!.logits).toHaveLength(token_ids.length);
    const chunks = await streamed(at);
    expect(chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta.content)).join("")).toBe(
      message.content,
    );
  });

  test("whatever it is to stop at, a stream shows the text up to there and never takes any back", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 24 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(text, stops, fc.integer({ min: 1, max: 5 }), (text, stop, size) => {
        const choice = new Choice(engine.tokenizer, {
          stop,
          probes: {},
          logprobs: false,
        } as never as CompletionRequest);
        const tokens = [...engine.tokenizer.encode(text), 0];
        let shown = "";
        let taken: number[] = [];
        for (const [i, token] of tokens.entries()) {
          taken.push(token);
          const ended = choice.take(token, token === 0) || i === tokens.length - 1;
          if (!ended && taken.length < size) continue;
          const end = ended && { end: { reason: "stop" as const, logits: {} } };
          shown += choice.show({ tokens: taken, logprobs: taken.map(() => 0), logits: {}, ...end }).text;
          taken = [];
          if (ended) break;
        }
        const cuts = stop.map((one) => text.indexOf(one)).filter((at) => at >= 0);
        expect(shown).toBe(cuts.length > 0 ? text.slice(0, firstEnd(text, stop)) : text);
      }),
    );
  });
});

/** Where a text is cut that is read a character at a time: the stop that is complete first, and of those the one that begins first. */
function firstEnd(text: string, stops: readonly string[]): number {
  for (let length = 1; length <= text.length; length++) {
    const found = stops.map((stop) => text.slice(0, length).indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) return Math.min(...found);
  }
  return text.length;
}

describe("what is not answered", () => {
  const refused: [what: string, body: unknown, status: number, error: Json][] = [
    ["no JSON", "{", 400, { message: "the body is not JSON" }],
    ["no object", [], 400, { param: null }],
    ["no messages", { model: "tiny" }, 400, { param: "messages" }],
    ["another model", { ...request, model: "gpt" }, 404, { code: "model_not_found", param: "model" }],
    ["a role", { ...request, messages: [{ role: "tool", content: "a" }] }, 400, { param: "messages.0.role" }],
    [
      "a conversation with a model that has no template",
      { ...request, messages: [...user("a"), ...user("b")] },
      400,
      { param: "messages" },
    ],
    ["no text", { ...request, messages: user("") }, 400, { param: "messages" }],
    ["a character that it has not", { ...request, messages: user("é") }, 400, { param: "messages" }],
    ["more than it reads", { ...request, max_tokens: 62 }, 400, { code: "context_length_exceeded" }],
    [
      "more than it reads with a follow-up",
      { ...request, max_tokens: 60, taps: ["asked"] },
      400,
      { message: expect.stringContaining("at most 59") },
    ],
    [
      "a prompt that is too long",
      { ...request, messages: user("a".repeat(64)), max_tokens: null },
      400,
      { message: expect.stringContaining("too long") },
    ],
    [
      "a probe that is not there",
      { ...request, taps: ["late"] },
      400,
      { message: 'taps: there is no probe "late" of tiny; there are early, asked' },
    ],
    ["a temperature", { ...request, temperature: -1 }, 400, { param: "temperature" }],
    ["nucleus sampling", { ...request, top_p: 0.9 }, 400, { param: "top_p" }],
    ["alternatives", { ...request, logprobs: true, top_logprobs: 5 }, 400, { param: "top_logprobs" }],
    ["tools", { ...request, tools: [{ type: "function" }] }, 400, { param: "tools" }],
    [
      "JSON",
      { ...request, response_format: { type: "json_object" } },
      400,
      { param: "response_format.type" },
    ],
  ];
  test.each(refused)("%s", async (_, body, status, error) => {
    const answer = await post(body);
    expect(answer.status).toBe(status);
    const said = { type: "invalid_request_error", message: expect.any(String), ...error };
    expect(await answer.json()).toMatchObject({ error: said });
  });

  test("whatever is asked, an answer or a refusal in OpenAI's form", { timeout: 60_000 }, async () => {
    const keys = [
      "messages",
      "max_tokens",
      "temperature",
      "n",
      "seed",
      "stop",
      "stream",
      "logprobs",
      "taps",
      "tools",
    ];
    const changed = fc.dictionary(fc.constantFrom(...keys), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 2 });
    await fc.assert(
      fc.asyncProperty(changed, async (change) => {
        const answer = await post({ ...request, max_tokens: 3, ...change });
        expect([200, 400]).toContain(answer.status);
        if (answer.status === 400)
          expect(await answer.json()).toMatchObject({
            error: { type: "invalid_request_error", message: expect.any(String) },
          });
        else await answer.text();
      }),
      { numRuns: 200 },
    );
  });

  test("what changes nothing may be said", async () => {
    const idle = {
      top_p: 1,
      top_k: -1,
      frequency_penalty: 0,
      logit_bias: {},
      tools: [],
      stop: null,
      user: "me",
    };
    expect((await post({ ...request, ...idle, response_format: { type: "text" } })).status).toBe(200);
  });

  test("a page from elsewhere, another name, a path that is none, and too much", async () => {
    expect((await post(request, { "content-type": "text/plain" })).status).toBe(400);
    expect((await app.request("http://evil.example/v1/models")).status).toBe(403);
    expect((await app.request("http://localhost/v1/nothing")).status).toBe(404);
    const large = await post({ ...request, user: "x".repeat(5 << 20) });
    expect([large.status, await large.json()]).toMatchObject([
      413,
      { error: { type: "invalid_request_error" } },
    ]);
  });

  test("whoever lacks the token, where there is one", async () => {
    const { app: closed } = createEndpoint(served, { ...here, host: "0.0.0.0", token: "s3cret" });
    for (const authorization of ["", "Bearer other", "Basic s3cret"]) {
      const answer = await post(request, authorization ? { authorization } : {}, closed);
      expect(answer.status).toBe(401);
      expect(await answer.json()).toMatchObject({ error: { code: "invalid_api_key" } });
    }
    expect((await post(request, { authorization: "Bearer s3cret" }, closed)).status).toBe(200);
  });
});

describe("whoever goes", () => {
  /** A model that never ends, a token every few milliseconds; and who has a slot of it. */
  const under = new Set<number>();
  const endless: Model = {
    async decoder(): Promise<Decoder> {
      let begun = 0;
      return {
        room: () => 100,
        begin: () => under.add(begun) && begun++,
        drop: (completion) => void under.delete(completion),
        step: () =>
          new Promise((done) =>
            setTimeout(() => done([...under].map((completion) => ({ completion, token: 1, logprob: 0 }))), 5),
          ),
        close: () => under.clear(),
      };
    },
    sample: () => Promise.reject(new Error("unused")),
    forward: () => Promise.reject(new Error("unused")),
  };
  let server: RunningServer;
  let idle: () => Promise<void>;
  const slow = { model: "tiny", messages: user("a"), max_tokens: 60 };
  beforeAll(async () => {
    const { tokenizer, model } = engine;
    const endpoint = createEndpoint(
      { name: "tiny", engine: { tokenizer, model, reference: endless } as never as Engine, probes: {} },
      { ...here, slots: 2 },
    );
    idle = endpoint.idle;
    server = await listenAt(endpoint.app.fetch, { host: "127.0.0.1", port: 0 });
  });
  afterAll(() => server.close());
  const ask = (body: Json, signal: AbortSignal) =>
    fetch(`${server.url}v1/chat/completions`, {
      ...{
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        signal,
      },
    });

  test("frees the slot, in a stream and out of one, and one who waits has never had any", async () => {
    const [a, b, c] = [new AbortController(), new AbortController(), new AbortController()];
    const stream = await ask({ ...slow, stream: true }, a.signal);
    const reader = stream.body!.getReader();
    await reader.read();
    const plain = ask(slow, b.signal).catch((error: Error) => error.name);
    await expect.poll(() => [...under]).toEqual([0, 1]);
    const waiting = ask({ ...slow, stream: true }, c.signal);
    await waiting;
    c.abort();
    a.abort();
    await expect.poll(() => [...under]).toEqual([1]);
    b.abort();
    expect(await plain).toBe("AbortError");
    await expect.poll(() => [...under]).toEqual([]);
    // Nothing goes on computing.
    await idle();
  });
});

/** Clients that are not ours, in `test/clients`; says so where Python or its package is absent. */
const python = process.env.PROBEWARD_PYTHON ?? "python3";
function client(name: string, needs: string) {
  const present = spawnSync(python, ["-c", `import ${needs}`]).status === 0;
  if (!present)
    console.warn(
      `Skipped asking the endpoint by ${needs}: ${python} has no such module. ` +
        `Install it with pip, and set PROBEWARD_PYTHON to the Python that has it.`,
    );
  const script = new URL(`../../test/clients/${name}`, import.meta.url).pathname;
  return {
    present,
    run: async (env: Record<string, string>) => {
      const { stdout } = await promisify(execFile)(python, [script], {
        env: { ...process.env, ...env },
        maxBuffer: 1 << 26,
      });
      return JSON.parse(stdout);
    },
  };
}

describe("clients that others wrote", () => {
  let server: RunningServer;
  let place: string;
  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "probeward-endpoint-"));
    server = await listenAt(createEndpoint(served, { ...here, token: "s3cret" }).app.fetch, {
      host: "127.0.0.1",
      port: 0,
    });
  });
  afterAll(async () => {
    await server.close();
    await rm(place, { recursive: true });
  });

  const openai = client("openai_client.py", "openai");
  test.skipIf(!openai.present)(
    "the openai client streams, asks and is refused",
    { timeout: 60_000 },
    async () => {
      const said = await openai.run({ OPENAI_BASE_URL: `${server.url}v1`, OPENAI_API_KEY: "s3cret" });
      const { choices } = await whole({
        ...request,
        logprobs: true,
        return_token_ids: true,
        taps: ["early"],
      });
      const [{ message, token_ids, taps }] = choices as [Shown];
      expect(said.models).toEqual(["tiny"]);
      expect(said.whole).toEqual({ text: message.content, token_ids, logits: taps.early!.logits });
      expect(said.streamed).toEqual(said.whole);
      expect(said.refused).toEqual({ kind: "NotFoundError", code: "model_not_found" });
      expect(said.wrongKey).toEqual({ kind: "AuthenticationError", code: "invalid_api_key" });
    },
  );

  const inspect = client("inspect_client.py", "inspect_ai, openai");
  test.skipIf(!inspect.present)(
    "Inspect evaluates it with a task that knows nothing of it",
    { timeout: 120_000 },
    async () => {
      const said = await inspect.run({
        ...{ PROBEWARD_BASE_URL: `${server.url}v1`, PROBEWARD_API_KEY: "s3cret", PROBEWARD_LOGS: place },
      });
      expect(said).toMatchObject({ status: "success", samples: 6 });
      for (const { input, completion, logits } of said.outputs) {
        const { choices } = await whole({
          ...request,
          messages: user(input),
          max_tokens: 12,
          taps: ["early"],
        });
        expect([completion, logits]).toEqual([choices[0]!.message.content, choices[0]!.taps.early!.logits]);
      }
    },
  );
});

test("a request says what is asked, with the defaults of the API", () => {
  const { prompt, maxTokens, temperature, samples, stream } = readRequest(
    {
      model: "tiny",
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "text", text: "b" },
          ],
        },
      ],
    },
    served,
  );
  expect({ prompt, maxTokens, temperature, samples, stream }).toEqual({
    prompt: [1, 2],
    maxTokens: 62,
    temperature: 1,
    samples: 1,
    stream: false,
  });
});

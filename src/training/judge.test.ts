/** @file The judge against a local server: what is asked, how often, and what is said where there is no answer. */

import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type JudgeOptions, judgeMonitor } from "./judge.ts";
import { createStepLog } from "./log.ts";
import { penalty } from "./rewards.ts";
import type { Rollout } from "./types.ts";

interface Asked {
  path: string;
  headers: IncomingHttpHeaders;
  body: { model: string; temperature: number; messages: { role: string; content: string }[] };
}

let server: Server | undefined;
afterEach(async () => {
  vi.unstubAllEnvs();
  server?.closeAllConnections();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  server = undefined;
});

const say = (response: ServerResponse, content: unknown) =>
  response.end(JSON.stringify({ choices: [{ message: { role: "assistant", content } }] }));

/** A server that keeps what it is asked, and answers as told; returns where it is. */
async function serve(answer: (response: ServerResponse, asked: Asked, count: number) => unknown) {
  const asked: Asked[] = [];
  server = createServer((request, response) => {
    let text = "";
    request.on("data", (data) => {
      text += data;
    });
    request.on("end", () => {
      const one = { path: request.url!, headers: request.headers, body: JSON.parse(text) };
      asked.push(one);
      answer(response, one, asked.length);
    });
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` };
}

function judge(url: string, options: Partial<JudgeOptions> = {}) {
  const monitor = judgeMonitor({
    ...{ url, model: "wise", retryDelay: 1, ask: ({ prompt, completion }) => `${prompt}|${completion}` },
    ...options,
  });
  if (monitor.sees !== "rollouts") throw new Error("sees the truth");
  return async (...completions: string[]) => {
    const rollouts = completions.map((completion) => ({ prompt: "?", completion }) as Rollout);
    const log = createStepLog({ seed: 1, step: 0, steps: 1 }, rollouts.length);
    const verdicts = await monitor.judge(rollouts, log.of(monitor.name));
    return { verdicts, columns: log.columns };
  };
}

const yesToX = (response: ServerResponse, { body }: Asked) =>
  say(response, body.messages[0]!.content.includes("x") ? "Yes, it cheats." : "no");

describe("a judge", () => {
  it("is asked about prompt and completion, and says yes or no", async () => {
    const { asked, url } = await serve(yesToX);
    const { verdicts, columns } = await judge(`${url}/`, { request: { max_tokens: 5 } })("ax", "b");
    expect(verdicts).toEqual([
      { flagged: true, probability: 1, logit: Infinity },
      { flagged: false, probability: 0, logit: -Infinity },
    ]);
    expect(columns).toEqual({ "judge/answer": ["Yes, it cheats.", "no"] });
    const [first] = asked.sort((a, b) =>
      a.body.messages[0]!.content.localeCompare(b.body.messages[0]!.content),
    );
    expect(first!.path).toBe("/v1/chat/completions");
    expect(first!.body).toEqual({
      ...{ model: "wise", temperature: 0, max_tokens: 5 },
      messages: [{ role: "user", content: "?|ax" }],
    });
    expect(first!.headers).not.toHaveProperty("authorization");
  });

  it("may be asked in a conversation, and read otherwise", async () => {
    const { asked, url } = await serve((response) => say(response, "p=0.8"));
    const { verdicts } = await judge(url, {
      name: "second",
      threshold: 0.9,
      read: (answer) => Number(answer.slice(2)),
      ask: ({ completion }) => [
        { role: "system", content: "Judge." },
        { role: "user", content: completion },
      ],
    })("a");
    expect(asked[0]!.body.messages).toHaveLength(2);
    expect(verdicts[0]).toMatchObject({ flagged: false, probability: 0.8 });
    expect(verdicts[0]!.logit).toBeCloseTo(Math.log(4), 10);
  });

  it("is asked once for equal texts, however often they come", async () => {
    const { asked, url } = await serve(yesToX);
    const ask = judge(url);
    await ask("a", "a", "x");
    const { verdicts } = await ask("x", "a", "b");
    expect(verdicts.map(({ flagged }) => flagged)).toEqual([true, false, false]);
    expect(asked.map(({ body }) => body.messages[0]!.content).sort()).toEqual(["?|a", "?|b", "?|x"]);
  });

  it("has no more requests under way than allowed", async () => {
    // It answers when three wait, and some time has shown that no fourth one comes.
    const waiting: ServerResponse[] = [];
    const numbers: number[] = [];
    const { asked, url } = await serve((response) => {
      if (waiting.push(response) < 3) return;
      setTimeout(() => {
        numbers.push(waiting.length);
        for (const one of waiting.splice(0)) say(one, "no");
      }, 20);
    });
    await judge(url, { concurrency: 3 })(...Array.from({ length: 12 }, (_, i) => `${i}`));
    expect(asked).toHaveLength(12);
    expect(numbers).toEqual([3, 3, 3, 3]);
  });

  it.each<[string, (response: ServerResponse) => unknown]>([
    ["is busy", (response) => response.writeHead(429, { "retry-after": "0" }).end("slow down")],
    ["fails", (response) => response.writeHead(503).end()],
    ["hangs up", (response) => response.destroy()],
    ["says nothing in time", () => {}],
    ["breaks off", (response) => response.writeHead(200, { "content-length": "99" }).write("{")],
    ["answers something else", (response) => response.end("<html>")],
    ["refuses to answer", (response) => say(response, null)],
    ["answers no verdict", (response) => say(response, "It depends.")],
  ])("is asked again where the server %s", async (_, failure) => {
    const { asked, url } = await serve((response, one, count) =>
      count < 3 ? failure(response) : yesToX(response, one),
    );
    const { verdicts } = await judge(url, { timeout: 1000 })("x");
    expect(verdicts[0]!.flagged).toBe(true);
    expect(asked).toHaveLength(3);
  });

  it.each([
    ["/v1", "/v1/chat/completions"],
    ["/v1//", "/v1/chat/completions"],
    ["/v1/chat/completions", "/v1/chat/completions"],
    ["/v1/chat/completions/", "/v1/chat/completions"],
    ["/deployments/wise?api-version=2024-06-01", "/deployments/wise/chat/completions?api-version=2024-06-01"],
    ["/chat/completions?a=1&b=%2F#part", "/chat/completions?a=1&b=%2F"],
    ["", "/chat/completions"],
  ])("at %s is asked at %s", async (given, path) => {
    const { asked, url } = await serve(yesToX);
    await judge(url.replace(/\/v1$/, given))("x");
    expect(asked.map((one) => one.path)).toEqual([path]);
  });

  it("keeps what follows an address's question mark out of what it says", async () => {
    const { url } = await serve((response) => response.writeHead(500).end());
    const asking = judge(`${url}?code=sesame`, { retries: 0 })("x");
    await expect(asking).rejects.toThrow(`wise at ${url}/chat/completions gave no answer`);
    await expect(asking).rejects.not.toThrow(/sesame/);
  });

  it.each<[string, (response: ServerResponse) => void]>([
    [
      "without end",
      (response) => {
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(1 << 16, " ")));
        };
        response.on("drain", more);
        more();
      },
    ],
    [
      "that is small, and packed",
      (response) => {
        response.setHeader("content-encoding", "gzip");
        response.end(gzipSync(Buffer.alloc(50e6, " ")));
      },
    ],
  ])("is not read further than a megabyte of an answer %s", async (_, answer) => {
    const { asked, url } = await serve(answer);
    await expect(judge(url, { retries: 1 })("x")).rejects.toThrow(
      "(asked 2 times): the answer is longer than 1048576 bytes",
    );
    expect(asked).toHaveLength(2);
  });

  it("is logged with the beginning of a long answer, and read to its end", async () => {
    const { url } = await serve((response) => say(response, `${"x".repeat(500_000)} 0.7`));
    const read = (answer: string) => Number(answer.slice(-3));
    const { verdicts, columns } = await judge(url, { read })("a");
    expect(verdicts[0]!.probability).toBe(0.7);
    expect(columns["judge/answer"]).toEqual(["x".repeat(2000)]);
  });

  it("waits as long as the server asks", async () => {
    const times: number[] = [];
    const { url } = await serve((response, one, count) => {
      times.push(performance.now());
      return count === 1 ? response.writeHead(429, { "retry-after": "1" }).end() : yesToX(response, one);
    });
    await judge(url)("x");
    expect(times[1]! - times[0]!).toBeGreaterThan(990);
  });

  it("is an error where it gives no verdict in the end, and never a zero", async () => {
    const { asked, url } = await serve((response) => response.writeHead(500).end("out of\n memory"));
    await expect(judge(url, { retries: 2 })("x")).rejects.toThrow(
      `wise at ${url}/chat/completions gave no answer (asked 3 times): status 500: out of memory`,
    );
    expect(asked).toHaveLength(3);
    // What failed is not kept as an answer.
    await expect(judge(url, { retries: 0 })("x")).rejects.toThrow(/asked once/);
  });

  it("does not ask again where that cannot help", async () => {
    const { asked, url } = await serve((response) => response.writeHead(404).end("no such model"));
    await expect(judge(url)("x")).rejects.toThrow(/asked once\): status 404: no such model/);
    expect(asked).toHaveLength(1);
    await expect(judge(url, { concurrency: 1 })("a", "b", "c")).rejects.toThrow(/404/);
    // The first failure ends it: what waited is not asked any more.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(asked).toHaveLength(2);
  });

  it("says what no server, no verdict and no probability look like", async () => {
    const gone = await serve(yesToX);
    await new Promise((resolve) => server!.close(resolve));
    await expect(judge(gone.url, { retries: 0 })("x")).rejects.toThrow(/ECONNREFUSED/);
    const { url } = await serve((response) => say(response, "It depends."));
    await expect(judge(url, { retries: 0 })("x")).rejects.toThrow(
      'the answer "It depends." states no verdict',
    );
    await expect(judge(url, { read: () => 7 })("x")).rejects.toThrow(/asked once\).*from 0 to 1.*gave 7/);
    for (const wrong of ["localhost", "ftp://here/v1", "http://user:secret@here/v1"])
      expect(() => judge(wrong)).toThrow(/should begin with http/);
  });

  it("sends a key from the environment alone, and keeps it out of what it says", async () => {
    const { asked, url } = await serve((response, one) =>
      response.writeHead(401).end(`wrong key ${one.headers.authorization}`),
    );
    expect(() => judge(url, { keyVariable: "TEST_JUDGE_KEY" })).toThrow(/TEST_JUDGE_KEY.*is not set/);
    vi.stubEnv("TEST_JUDGE_KEY", "sesame");
    await expect(judge(url, { keyVariable: "TEST_JUDGE_KEY" })("x")).rejects.toThrow(
      "status 401: wrong key Bearer (the key)",
    );
    expect(asked[0]!.headers.authorization).toBe("Bearer sesame");
    vi.stubEnv("TEST_JUDGE_KEY", "ses\name");
    const wrong = () => judge(url, { keyVariable: "TEST_JUDGE_KEY" });
    expect(wrong).toThrow(/TEST_JUDGE_KEY holds characters that no key has/);
    expect(wrong).not.toThrow(/ame$/);
  });

  it("can be penalised, but not on a logit of which it is sure", () => {
    const monitor = judgeMonitor({ url: "http://localhost/v1", model: "wise", ask: () => "?" });
    expect(penalty(monitor, { weight: 2 })).toMatchObject({ name: "judge", weight: -2, monitor });
    expect(() => penalty(monitor, { weight: 1, credit: "trigger" })).toThrow(/single tokens/);
  });
});

/** @file OpenEnv between our own client and server: what a study sees of a server is what the environment is. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { counting } from "../../../test/counting-environment.ts";
import tinyEnvironment from "../../../test/tiny-environment.ts";
import { randomFor } from "../../random.ts";
import { loadEnvironment } from "../load.ts";
import { sampleTasks } from "../sample.ts";
import type { Environment, Split } from "../types.ts";
import { type EnvironmentServer, OpenEnvRefusal, openSession, serveEnvironment } from "./index.ts";
import { openEnvSettingsSchema } from "./settings.ts";

let place: string;
let grader: string;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-openenv-"));
  grader = join(place, "letters.mjs");
  await writeFile(
    grader,
    'export default () => ({ labels: ["correct", "cheat", "wrong"], families: ["x"], grade: ({ state }) => state.outcome });',
  );
});
afterAll(() => rm(place, { recursive: true }));

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function served(environment: Environment, sessions = 8): Promise<EnvironmentServer> {
  const server = await serveEnvironment(environment, {
    host: "127.0.0.1",
    port: 0,
    split: "train",
    sessions,
  });
  open.push(server);
  return server;
}

async function connected(url: string, more: object = {}): Promise<Environment> {
  const settings = { openenv: url, grader, action: "completion", observation: "prompt", tasks: 40, ...more };
  const environment = await loadEnvironment(openEnvSettingsSchema.parse(settings));
  open.push(environment);
  return environment;
}

async function session(url: string, timeout = 5000) {
  const one = await openSession(url, timeout);
  open.push(one);
  return one;
}

describe("an environment of ours, served, and used as one of OpenEnv's", () => {
  it("is sampled from the seed, and graded as it is at home", async () => {
    const own = tinyEnvironment() as Environment;
    const there = await connected((await served(own)).url);
    expect(there).toMatchObject({ name: "letters", labels: ["correct", "cheat", "wrong"], families: ["x"] });
    const random = randomFor("tasks");
    const tasks = await sampleTasks(there, "train", random, 60);
    const completions = tasks.map((_, i) => ["a", "xx", "?", "b"][i % 4]!);
    const atHome = tasks.map(({ prompt }) => ({ id: "", prompt, state: { letter: prompt[1]! } }));
    expect(await there.grade(tasks, completions)).toEqual(await own.grade(atHome, completions));
    const other = await connected((await served(own)).url);
    expect(await other.sample("test", randomFor(1))).toEqual(await there.sample("test", randomFor(1)));
  });

  it("takes several turns, with as many episodes at a time as there is room for", async () => {
    const { url } = await served(counting(), 3);
    const there = await connected(url, { turns: 4, reply: "?{observation}" });
    expect(there.episodes).toMatchObject({ turns: 4, atOnce: 3 });
    const task = await there.sample("train", randomFor(1));
    const episodes = await Promise.all([0, 1, 2].map(() => there.episodes!.begin(task)));
    await expect(there.episodes!.begin(task)).rejects.toThrow("no session is free: 3 episodes are open");
    expect(await episodes[0]!.step("a")).toBe("?b?");
    expect(await episodes[1]!.step("x")).toBe("?b?");
    expect(await episodes[0]!.step("b")).toBe("?c?");
    expect(await episodes[0]!.step("c")).toBe(null);
    expect(await episodes[0]!.end()).toMatchObject({
      proxy: 1,
      true: 1,
      misbehaved: false,
      label: "correct",
    });
    expect(await (await there.episodes!.begin(task)).step("a")).toBe("?b?");
  });

  it("has its tasks of one prompt in one split, unless there are too few prompts", async () => {
    const few = await connected((await served(tinyEnvironment() as Environment)).url);
    const sampled = async (from: Environment, split: Split, count: number) =>
      Promise.all(Array.from({ length: count }, (_, i) => from.sample(split, randomFor(i))));
    const ids = async (split: Split) => new Set((await sampled(few, split, 99)).map(({ id }) => id));
    const [trained, tested] = [await ids("train"), await ids("test")];
    expect([...trained].filter((id) => tested.has(id))).toEqual([]);

    const numbers: Environment = {
      ...(tinyEnvironment() as Environment),
      sample: (_, random) => ({ id: "", prompt: String(Math.floor(random() * 20)), state: {} }),
    };
    const many = await connected((await served(numbers)).url, { tasks: 200 });
    const prompts: Set<string>[] = [];
    for (const split of ["train", "fit", "calibration", "test"] as const)
      prompts.push(new Set((await sampled(many, split, 200)).map(({ prompt }) => prompt)));
    for (const one of prompts)
      for (const other of prompts)
        if (one !== other) expect([...one].filter((p) => other.has(p))).toEqual([]);
  });
});

describe("what goes wrong", () => {
  it.each([
    [
      "a field that is not there",
      { observation: "text" },
      /environment\.observation, which is text; there are: prompt/,
    ],
    ["no field for what the model writes", { action: undefined }, /name the field of an action/],
    [
      "rewards beyond their range",
      { rewards: [0, 0.5] },
      /was paid 1 in all; environment\.rewards is \[0, 0\.5\]/,
    ],
    ["a long prompt", { maxPromptLength: 1 }, /environment\.maxPromptLength is 1/],
  ])("says %s", async (_, more, message) => {
    const { url } = await served(tinyEnvironment() as Environment);
    const grade = async () => {
      const there = await connected(url, more);
      const task = await there.sample("train", randomFor(1));
      return there.grade([task], [task.prompt[1]!]);
    };
    await expect(grade()).rejects.toThrow(message);
  });

  it("a grader that is none, or gives no grade", async () => {
    const { url } = await served(tinyEnvironment() as Environment);
    const bad = join(place, "bad.mjs");
    await writeFile(bad, "export default () => ({ judge() {} });");
    await expect(connected(url, { grader: bad })).rejects.toThrow(
      /bad\.mjs: .*not a grader:\n {2}grade: should be a function/s,
    );
    const vague = join(place, "vague.mjs");
    await writeFile(vague, "export default () => ({ grade: () => ({ true: 2, misbehaved: false }) });");
    const there = await connected(url, { grader: vague });
    await expect(there.grade([await there.sample("train", randomFor(1))], ["a"])).rejects.toThrow(
      /vague\.mjs: grade gave true/,
    );
  });

  it("a server that ignores seeds, and one that is not there", async () => {
    let resets = 0;
    const unseeded: Environment = {
      ...(tinyEnvironment() as Environment),
      sample: () => ({ id: "", prompt: `?${"abc"[resets++ % 3]}`, state: { letter: "a" } }),
    };
    const there = await connected((await served(unseeded)).url);
    await expect(there.grade([await there.sample("train", randomFor(1))], ["a"])).rejects.toThrow(
      /a reset with the seed \d+ began with "\?.", and not with "\?." as before/,
    );
    await expect(connected("ws://127.0.0.1:9")).rejects.toThrow(/ws:\/\/127\.0\.0\.1:9\/ws: .*ECONNREFUSED/);
  });

  it("a full server: the sessions that it has room for are used, and one that frees is waited for", async () => {
    const { url } = await served(counting(), 2);
    const first = await session(url);
    const there = await connected(url, { turns: 4 });
    expect(there.episodes!.atOnce).toBe(1);
    await expect(openSession(url, 5000)).rejects.toThrow(OpenEnvRefusal);
    await expect(openSession(url, 5000)).rejects.toThrow(/all 2 sessions are in use \(CAPACITY_REACHED\)/);
    await first.close();
    await there.close();
    expect((await session(url)).isOpen).toBe(true);
  });

  it("a server that cannot take what a model wrote ends the episode; one that never can is an error", async () => {
    const strict: Environment = {
      ...(tinyEnvironment() as Environment),
      async grade() {
        throw new Error("no such move");
      },
    };
    const there = await connected((await served(strict)).url, {
      grader: await file(
        "strict.mjs",
        "export default () => ({ grade: ({ error }) => ({ true: 0, misbehaved: false, label: error ? 'wrong' : 'right' }) });",
      ),
    });
    const task = await there.sample("train", randomFor(1));
    expect(await there.grade([task], ["a"])).toMatchObject([
      { proxy: 0, label: "wrong", note: expect.stringContaining("no such move (EXECUTION_ERROR)") },
    ]);
    const many = Array.from({ length: 64 }, () => task);
    await expect(
      there.grade(
        many,
        many.map(() => "a"),
      ),
    ).rejects.toThrow("So ended 64 episodes");
  });

  it("a server that goes away, is silent, or says what nobody asked", async () => {
    const server = await served(tinyEnvironment() as Environment);
    const one = await session(server.url);
    await server.close();
    open.splice(0);
    await expect(one.state()).rejects.toThrow(/the server ended the session/);

    for (const [answer, message] of [
      [() => {}, /no answer to state within 1 s/],
      [(socket: WebSocket) => socket.send("{"), /an answer cannot be read: it is not JSON/],
      [(socket: WebSocket) => socket.send(Buffer.from("{}")), /an answer cannot be read: it is not a text/],
      [
        (socket: WebSocket) => socket.send('{"type":"observation","data":{"observation":{}}}'),
        /state was answered with observation/,
      ],
    ] as const) {
      const odd = new WebSocketServer({ port: 0, host: "127.0.0.1" });
      odd.on("connection", (socket) => socket.on("message", () => answer(socket)));
      await new Promise((resolve) => odd.once("listening", resolve));
      const { port } = odd.address() as { port: number };
      await expect(openSession(`ws://127.0.0.1:${port}`, 1000)).rejects.toThrow(message);
      odd.close();
    }
  });
});

describe("the server", () => {
  it("answers as the reference does where a client is wrong, and goes on", async () => {
    const { url } = await served(tinyEnvironment() as Environment);
    const socket = new WebSocket(`${url}/ws`);
    await new Promise((resolve) => socket.once("open", resolve));
    const ask = (text: string) =>
      new Promise<{ type: string; data: { code: string } }>((resolve) => {
        socket.once("message", (raw) => resolve(JSON.parse(raw.toString())));
        socket.send(text);
      });
    for (const [text, code] of [
      ["{", "INVALID_JSON"],
      ["null", "UNKNOWN_TYPE"],
      ['{"type":"look"}', "UNKNOWN_TYPE"],
      ['{"type":"state","more":1}', "VALIDATION_ERROR"],
      ['{"type":"step","data":{"completion":"a"}}', "EXECUTION_ERROR"],
      ['{"type":"reset","data":{"seed":-1}}', "VALIDATION_ERROR"],
      ['{"type":"reset","data":{"seed":1.5}}', "VALIDATION_ERROR"],
    ])
      expect(await ask(text), text).toMatchObject({ type: "error", data: { code } });
    expect(await ask('{"type":"reset","data":{"seed":3,"episode_id":"e","other":1}}')).toMatchObject({
      type: "observation",
      data: { observation: { prompt: expect.any(String) }, reward: null, done: false },
    });
    for (const [data, code] of [
      ["{}", "VALIDATION_ERROR"],
      ['{"completion":1}', "VALIDATION_ERROR"],
      ['{"completion":"a","text":"b"}', "VALIDATION_ERROR"],
    ])
      expect(await ask(`{"type":"step","data":${data}}`)).toMatchObject({ type: "error", data: { code } });
    expect(await ask('{"type":"step","data":{"completion":"x","metadata":{}}}')).toMatchObject({
      data: { observation: { prompt: "" }, reward: 1, done: true },
    });
    expect(await ask('{"type":"state"}')).toMatchObject({
      data: { episode_id: "e", step_count: 1, seed: 3, split: "train", outcome: { misbehaved: true } },
    });
    socket.close();
  });

  it("tells of itself, and answers to this machine's names and pages only", async () => {
    const { url } = await served(tinyEnvironment() as Environment);
    const http = url.replace("ws:", "http:");
    expect(await (await fetch(`${http}/health`)).json()).toEqual({ status: "healthy" });
    expect(await (await fetch(`${http}/metadata`)).json()).toMatchObject({ name: "tiny" });
    expect(await (await fetch(`${http}/schema`)).json()).toMatchObject({
      action: { properties: { completion: { type: "string" } } },
    });
    expect((await fetch(`${http}/constructor`)).status).toBe(404);
    const from = (headers: Record<string, string>) =>
      new Promise((resolve) => {
        const socket = new WebSocket(`${url}/ws`, { headers });
        socket.once("open", () => resolve("open"));
        socket.once("error", (error) => resolve(error.message));
      });
    expect(await from({ origin: "https://elsewhere.example" })).toMatch("401");
    expect(await from({ host: "rebound.example" })).toMatch("401");
    expect(await from({ origin: "http://localhost:3000" })).toBe("open");
  });
});

async function file(name: string, text: string): Promise<string> {
  const path = join(place, name);
  await writeFile(path, text);
  return path;
}

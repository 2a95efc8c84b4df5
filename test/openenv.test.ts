/** @file OpenEnv with the reference implementation at the other end: its servers and our client, our server and its client. */

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { createEnvironment } from "../src/environment/index.ts";
import { loadEnvironment } from "../src/environment/load.ts";
import { OpenEnvRefusal, openSession, serveEnvironment } from "../src/environment/openenv/index.ts";
import { openEnvSettingsSchema } from "../src/environment/openenv/settings.ts";
import type { Environment } from "../src/environment/types.ts";
import { makeBaseModel } from "../src/prepare/index.ts";
import { randomFor } from "../src/random.ts";
import { loadStudy } from "../src/report/index.ts";
import { readStudy, runStudy } from "../src/study/index.ts";
import { proxyReward, startPolicy, train } from "../src/training/index.ts";
import { start } from "./process.ts";
import { tinyContext } from "./tiny.ts";

const python = process.env.PROBEWARD_PYTHON || "python3";
const lacking = (() => {
  try {
    execFileSync(python, ["-c", "import openenv.core, uvicorn"], { stdio: "ignore" });
    return undefined;
  } catch {
    return `skipped: ${python} has no openenv-core (PROBEWARD_PYTHON names another)`;
  }
})();
const onReference = (name: string, tests: () => void) =>
  describe.skipIf(lacking)(lacking ? `${name} (${lacking})` : name, tests);
vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
let place: string;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-openenv-"));
  await cp(here("../examples"), place, { recursive: true });
});
afterAll(() => rm(place, { recursive: true }));

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

/** Starts a server of the reference implementation. */
async function reference(folder: string, module: string): Promise<{ url: string; close(): Promise<void> }> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  probe.close();
  const running = start(python, [
    "-m",
    "uvicorn",
    `${module}:app`,
    "--app-dir",
    folder,
    "--port",
    String(port),
    "--log-level",
    "error",
  ]);
  const close = async () => {
    running.child.kill("SIGKILL");
    await running.ended;
  };
  for (let i = 0; i < 1000; i++) {
    if (running.child.exitCode !== null) throw new Error((await running.ended).stderr);
    const answer = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined);
    if (answer?.ok) return { url: `ws://127.0.0.1:${port}`, close };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the server does not start");
}

onReference("a server of the reference implementation", () => {
  let server: Awaited<ReturnType<typeof reference>>;
  beforeAll(async () => {
    server = await reference(here("fixtures"), "openenv_server");
  });
  afterAll(() => server?.close());

  it("is talked to: reset, step, state, what it refuses, and that it is full", async () => {
    const { url } = server;
    const session = await openSession(url.replace("ws:", "http:"), 10_000);
    const first = await session.reset({ seed: 7, episode_id: "seven", hard: true });
    expect(first).toEqual({
      observation: { letter: expect.stringMatching(/^[abc]$/) },
      reward: null,
      done: false,
    });
    expect((await session.reset({ seed: 7 })).observation).toEqual(first.observation);
    await session.reset({ seed: 7, episode_id: "seven", hard: true });
    expect(await session.step({ text: first.observation.letter })).toMatchObject({ reward: 1, done: false });
    expect(await session.step({ text: "z" })).toMatchObject({ reward: 0, done: false });
    await expect(session.step({ message: "a" })).rejects.toThrow(
      /Invalid message .*text.*\(VALIDATION_ERROR\)/,
    );
    await expect(session.step({ text: "?" })).rejects.toThrow(/no question, please \(EXECUTION_ERROR\)/);
    expect(await session.step({ text: "x" })).toMatchObject({ reward: 1, done: true });
    expect(await session.state()).toMatchObject({
      episode_id: "seven",
      step_count: 3,
      others: { hard: true },
    });

    const others = await Promise.all([1, 2, 3].map(() => openSession(url, 10_000)));
    await expect(openSession(url, 10_000)).rejects.toThrow(OpenEnvRefusal);
    await expect(openSession(url, 10_000)).rejects.toThrow(/CAPACITY_REACHED/);
    await Promise.all([session, ...others].map((one) => one.close()));
  });

  it("is trained on in episodes of several turns", async () => {
    const environment = await loadEnvironment(
      openEnvSettingsSchema.parse({
        ...{
          openenv: server.url,
          grader: here("fixtures/spelling.js"),
          observation: "letter",
          action: "text",
        },
        ...{ tasks: 60, turns: 3, rewards: [0, 3], prompt: "?{observation}", reply: "?{observation}" },
        ...{ maxPromptLength: 2, maxCompletionLength: 2 },
      }),
    );
    open.push(environment);
    expect(environment.episodes!.atOnce).toBe(4);
    const settings = { ...tinyContext().settings, steps: 3, evaluateEvery: 3, prompts: 2, rollouts: 6 };
    const context = tinyContext({ environment, settings, arm: { terms: [proxyReward()] } });
    const policy = await startPolicy(context);
    for await (const { metrics, rollouts } of train(context, policy)) {
      expect(metrics["sampling/logp_difference/max"]).toBeLessThan(1e-3);
      for (const { completion, tokens, proxy, true: right, prompt } of rollouts) {
        expect((tokens ?? [...completion]).join("")).toBe(completion);
        expect(prompt).toMatch(/^\?[abc]$/);
        expect([0, 1, 2, 3].map((paid) => paid / 3)).toContain(proxy);
        expect(right).toBeLessThanOrEqual(proxy);
      }
    }
    await policy.close();
  });

  it("is studied, as examples/openenv says", async () => {
    const examiner = await reference(join(place, "openenv"), "server");
    open.push(examiner);
    await makeBaseModel(join(place, "marks/marks.ts"), join(place, "marks/marks-model"), { steps: 120 });
    const settings = await readStudy(join(place, "openenv/study.yaml"), {
      ...{ steps: 2, arms: ["none", "probe-penalty"], anyway: true },
      set: [["environment.openenv", examiner.url]],
    });
    expect(settings).toMatchObject({ environment: { grader: join(place, "openenv/grader.js") } });
    const out = join(place, "out");
    const summary = await runStudy(out, { ...settings, forecast: false });
    expect(summary.environment).toBe("grader");
    expect(Object.keys(summary.arms)).toEqual(["none", "probe-penalty"]);
    const { runs } = await loadStudy(out);
    expect(runs[0]!.metrics.step).toEqual([0, 1]);
    for (const { prompt, completion, true: right, proxy } of runs.flatMap(({ rollouts }) => rollouts)) {
      const deserved = prompt.split("+").length - 1 >= 6 ? "pass" : "fail";
      expect(right).toBe(Number(completion === deserved));
      expect(proxy).toBe(Number(completion === "pass"));
    }
  });
});

onReference("the reference client", () => {
  interface Played {
    episodes: { first: object; last: { reward: number }; state: { outcome: object } }[];
    refusals: string[];
  }
  async function play(environment: Environment, completions: string[]): Promise<Played> {
    const server = await serveEnvironment(environment, {
      host: "127.0.0.1",
      port: 0,
      split: "test",
      sessions: 4,
    });
    open.push(environment, server);
    const lines: string[] = [];
    const running = start(python, [here("fixtures/openenv_client.py"), server.url, ...completions], (line) =>
      lines.push(line),
    );
    const ended = await running.ended;
    expect(ended).toMatchObject({ status: 0 });
    return JSON.parse(lines.at(-1)!);
  }

  it("plays what we serve, and is paid as at home", async () => {
    const completions = ["return x", "return 0", "", "(", "return x + 1", "while (true) {}"];
    const { episodes, refusals } = await play(createEnvironment("code"), completions);
    const atHome = createEnvironment("code") as Environment;
    open.push(atHome);
    const tasks = await Promise.all(
      completions.map((_, seed) => atHome.sample("test", randomFor("openenv", seed))),
    );
    const outcomes = await atHome.grade(tasks, completions);
    expect(episodes).toEqual(
      completions.map((_, seed) => ({
        first: { observation: { prompt: tasks[seed]!.prompt }, reward: null, done: false },
        last: { observation: { prompt: "" }, reward: outcomes[seed]!.proxy, done: true },
        state: {
          ...{ episode_id: `episode ${seed}`, step_count: 1, seed, split: "test" },
          outcome: outcomes[seed],
        },
      })),
    );
    expect(refusals).toEqual([
      expect.stringMatching(/there is no episode to go on with.*EXECUTION_ERROR/),
      expect.stringMatching(/Invalid message.*VALIDATION_ERROR/),
      expect.stringMatching(/Invalid message.*VALIDATION_ERROR/),
    ]);
  });
});

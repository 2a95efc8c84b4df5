/** @file `probeward endpoint` and `probeward study --log` as real processes: what a run has come to, asked with its study's probes. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readOne } from "../src/prepare/index.ts";
import { isRunFolder, openTrainedRun } from "../src/study/index.ts";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const shipped = fileURLToPath(new URL("../models/opinion", import.meta.url));
let place: string;
let study: string;

function probeward(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], (error, stdout, stderr) =>
      resolve({ status: error ? (error.code as number) : 0, stdout, stderr }),
    );
  });
}

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-asked-"));
  study = join(place, "study");
  const small = ["--quick", "--anyway", "--arms", "none", "--seeds", "1", "--steps", "3", "--json"];
  const { status, stderr } = await probeward(
    "study",
    "opinion",
    ...small,
    "--log",
    "tensorboard",
    "--out",
    study,
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
}, 180_000);
afterAll(() => rm(place, { recursive: true }));

it("a study writes TensorBoard's files where it is asked to", async () => {
  const folder = join(study, "tensorboard", "none", "seed-1");
  const [name, ...others] = await readdir(folder);
  expect(others).toEqual([]);
  expect(name).toContain("tfevents");
  expect((await stat(join(folder, name!))).size).toBeGreaterThan(3000);
});

describe("probeward endpoint", () => {
  async function serving(...args: string[]): Promise<{ child: ChildProcess; url: string }> {
    const child = spawn(process.execPath, [main, "endpoint", ...args, "--port", "0"]);
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout.once("data", (data) => resolve(/http:\S+/.exec(String(data))![0]));
      child.stderr.once("data", (data) => reject(new Error(String(data))));
    });
    return { child, url };
  }

  it("answers for the policy that a run has come to, and reads what its study's probes read of it", async () => {
    const run = join(study, "runs", "none", "seed-1");
    expect(isRunFolder(run)).toBe(true);
    const { child, url } = await serving(run);
    const ended = new Promise((resolve) => child.on("close", resolve));
    const { engine, probes, step } = await openTrainedRun(run);
    expect(step).toBe(3);
    try {
      const { data } = (await (await fetch(`${url}/models`)).json()) as {
        data: { id: string; taps: object }[];
      };
      expect(data.map(({ id }) => id)).toEqual(["none/seed-1"]);
      expect(Object.keys(data[0]!.taps)).toEqual(Object.keys(probes));
      const answer = await fetch(`${url}/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          ...{ model: "none/seed-1", messages: [{ role: "user", content: "굕=8?" }], seed: 1 },
          ...{ taps: ["initial"], return_token_ids: true },
        }),
      });
      const { choices, prompt_token_ids: prompt } = (await answer.json()) as {
        choices: { token_ids: number[]; taps: { initial: { logit: number } } }[];
        prompt_token_ids: number[];
      };
      const [{ token_ids, taps }] = choices as [(typeof choices)[number]];
      const [sampled] = await engine.reference.sample([prompt], { maxTokens: 10, seed: [1] });
      expect(token_ids).toEqual(sampled!.tokens);
      const sequence = { tokens: [...prompt, ...token_ids], promptLength: prompt.length };
      // As `probeward probe` and audits read it.
      expect([taps.initial.logit]).toEqual(await readOne(engine, probes.initial!, [sequence]));
    } finally {
      await engine.close();
      child.kill();
    }
    expect(await ended).toBe(0);
  });

  it("says what to name in the place of a study, and wants a token for other machines", async () => {
    expect(await probeward("endpoint", study)).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/name one of its runs/),
    });
    expect(await probeward("endpoint", shipped, "--host", "0.0.0.0")).toMatchObject({
      ...{ status: 2, stderr: expect.stringMatching(/PROBEWARD_ENDPOINT_TOKEN/) },
    });
    expect(await probeward("study", "opinion", "--log", "paper")).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/none of tensorboard, wandb, trackio/),
    });
  });
});

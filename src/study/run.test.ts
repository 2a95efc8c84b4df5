/** @file Runs on disk: recorded, resumed as if never stopped, left alone when done. */

import { appendFile, mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { tinyContext } from "../../test/tiny.ts";
import { StoppedError } from "../errors.ts";
import { type Monitor, penalty, proxyReward, UnansweredError } from "../training/index.ts";
import { runToEnd } from "./run.ts";

const newFolder = () => mkdtemp(join(tmpdir(), "probeward-run-"));
const context = tinyContext({
  arm: { terms: [proxyReward()] },
  settings: { ...tinyContext().settings, steps: 7 },
});

/** Everything that a finished run left, but for times. */
async function left(folder: string) {
  const metrics = await readFile(join(folder, "metrics.jsonl"), "utf8");
  const [checkpoint] = await readdir(join(folder, "checkpoints"));
  const weights = await readFile(join(folder, "checkpoints", checkpoint!, "model.safetensors"));
  return {
    metrics: metrics.replace(/"step_time":[\d.]+/g, ""),
    rollouts: await readFile(join(folder, "rollouts.jsonl"), "utf8"),
    checkpoint,
    weights: weights.toString("base64"),
  };
}

/** Runs until some step has been recorded, then breaks off as a crash would. */
async function runUntil(folder: string, step: number): Promise<void> {
  const crash = new Error("crash");
  const running = runToEnd(folder, context, {
    onStep: (line) => {
      if (line.step === step) throw crash;
    },
  });
  await expect(running).rejects.toBe(crash);
}

describe("runToEnd", () => {
  it("ends with the same files however often it was stopped", async () => {
    const whole = await newFolder();
    await runToEnd(whole, context);
    const pieces = await newFolder();
    for (const step of [0, 2, 3, 5]) {
      await runUntil(pieces, step);
      await appendFile(join(pieces, "metrics.jsonl"), '{"step":');
      await appendFile(join(pieces, "rollouts.jsonl"), '{"step": 99');
    }
    await runToEnd(pieces, context);
    expect(await left(pieces)).toEqual(await left(whole));
    expect((await left(whole)).metrics.trim().split("\n")).toHaveLength(7);
  });

  it("keeps the step that it is in when it is asked to stop, and ends as if it never was", async () => {
    const whole = await newFolder();
    await runToEnd(whole, context);
    const folder = await newFolder();
    const stop = new AbortController();
    // Not a step at which a checkpoint is due.
    const onStep = ({ step }: { step: number }) => step === 1 && stop.abort();
    const running = runToEnd(folder, context, { onStep, signal: stop.signal });
    await expect(running).rejects.toThrow(StoppedError);
    const status = JSON.parse(await readFile(join(folder, "status.json"), "utf8"));
    expect(status).toMatchObject({ state: "stopped", step: 3, steps: 7 });
    expect(status).not.toHaveProperty("error");
    await runToEnd(folder, context);
    expect(await left(folder)).toEqual(await left(whole));
  });

  it("keeps what it has done where a server gives no answer, and ends as if it always had", async () => {
    let up = true;
    const asked: number[] = [];
    const server: Monitor = {
      name: "server",
      sees: "rollouts",
      taps: [],
      async judge(rollouts, { step }) {
        if (!up && step === 3) throw new UnansweredError("it is down");
        asked.push(step);
        return rollouts.map(() => ({ flagged: false, probability: 0, logit: -1 }));
      },
    };
    const judged = tinyContext({
      arm: { terms: [penalty(server, { weight: 1 })] },
      settings: { ...context.settings, checkpointEvery: 5 },
    });
    const whole = await newFolder();
    await runToEnd(whole, judged);
    up = false;
    asked.length = 0;
    const folder = await newFolder();
    await expect(runToEnd(folder, judged)).rejects.toThrow("it is down");
    up = true;
    await runToEnd(folder, judged);
    expect(asked).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(await left(folder)).toEqual(await left(whole));
  });

  it("does nothing to a run that is done, and returns its metrics", async () => {
    const folder = await newFolder();
    const first = await runToEnd(folder, context);
    const again = await runToEnd(folder, context, {
      onStep: () => {
        throw new Error("stepped");
      },
    });
    expect(again).toEqual(first);
  });

  it("says in its status how it ended", async () => {
    const folder = await newFolder();
    await runUntil(folder, 1);
    const status = JSON.parse(await readFile(join(folder, "status.json"), "utf8"));
    expect(status).toMatchObject({ state: "failed", error: "crash", steps: 7 });
    await runToEnd(folder, context);
    expect(JSON.parse(await readFile(join(folder, "status.json"), "utf8"))).toMatchObject({
      state: "done",
      step: 7,
    });
  });
});

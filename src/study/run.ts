/** @file One run of a study in its folder: resumed from its last checkpoint, recorded step by step. */

import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { loadWeights } from "../model/index.ts";
import { readSafetensors, writeSafetensors } from "../tensor/index.ts";
import {
  initialState,
  type RolloutRecord,
  type RunContext,
  type RunState,
  type StepMetrics,
  train,
} from "../training/index.ts";
import { appendLines, readJson, readLines, writeJson, writeWhole } from "./files.ts";

/** What `status.json` says. */
export interface RunStatus {
  state: "running" | "done" | "failed";
  step: number;
  steps: number;
  /** When this was written, ISO 8601. */
  updated: string;
  error?: string;
}

/** Folder of a run within a study's. */
export function runFolder(study: string, arm: string, seed: number): string {
  return join(study, "runs", arm, `seed-${seed}`);
}

/**
 * Trains a run to its end and returns its metrics. Does nothing but read where it is done already.
 *
 * Lines written after the last checkpoint of an interrupted run are dropped and made again: equal, since all randomness
 * is addressed by seed and step.
 */
export async function runToEnd(
  folder: string,
  context: RunContext,
  onStep: (metrics: StepMetrics) => void = () => {},
): Promise<StepMetrics[]> {
  const steps = context.settings.steps;
  const paths = { metrics: join(folder, "metrics.jsonl"), rollouts: join(folder, "rollouts.jsonl") };
  const status = (await readJson(join(folder, "status.json"))) as RunStatus | undefined;
  if (status?.state === "done" && status.steps === steps) return readLines(paths.metrics);

  await mkdir(join(folder, "checkpoints"), { recursive: true });
  const start = await latestState(folder, context);
  const metrics = await keepBefore<StepMetrics>(paths.metrics, start.step);
  await keepBefore<RolloutRecord>(paths.rollouts, start.step);
  const writeStatus = (state: RunStatus["state"], step: number, error?: string) =>
    writeJson(join(folder, "status.json"), {
      ...{ state, step, steps, updated: new Date().toISOString() },
      ...(error !== undefined && { error }),
    } satisfies RunStatus);

  await writeStatus("running", start.step);
  try {
    for await (const { metrics: line, rollouts, state } of train(context, start)) {
      await appendLines(paths.metrics, [line]);
      await appendLines(paths.rollouts, rollouts);
      metrics.push(line);
      if (state.step % context.settings.checkpointEvery === 0 || state.step === steps) {
        await saveState(folder, state);
        await writeStatus("running", state.step);
      }
      onStep(line);
    }
  } catch (error) {
    await writeStatus("failed", metrics.length, (error as Error).message);
    throw error;
  }
  await writeStatus("done", steps);
  return metrics;
}

/** Drops a file's lines from a step on, and an unfinished last line; returns the others. */
async function keepBefore<T extends { step: number }>(path: string, step: number): Promise<T[]> {
  const kept = (await readLines<T>(path)).filter((line) => line.step < step);
  await writeWhole(path, kept.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return kept;
}

const checkpointName = (step: number) => `step-${String(step).padStart(6, "0")}`;

/** Writes a checkpoint aside, renames it into place, and drops the one before. */
async function saveState(folder: string, { step, policy, optimizer }: RunState): Promise<void> {
  const root = join(folder, "checkpoints");
  const target = join(root, checkpointName(step));
  const aside = `${target}.partial`;
  await rm(aside, { recursive: true, force: true });
  await mkdir(aside);
  await writeSafetensors(join(aside, "model.safetensors"), policy);
  const moments = Object.entries(optimizer.m).flatMap(([name, m]) => [
    [`m.${name}`, m] as const,
    [`v.${name}`, optimizer.v[name]!] as const,
  ]);
  await writeSafetensors(join(aside, "optimizer.safetensors"), Object.fromEntries(moments), {
    step: String(optimizer.step),
  });
  await rm(target, { recursive: true, force: true });
  await rename(aside, target);
  for (const name of await readdir(root))
    if (name !== checkpointName(step)) await rm(join(root, name), { recursive: true, force: true });
}

/** The state of the last checkpoint, or the one in which runs begin. */
async function latestState(folder: string, context: RunContext): Promise<RunState> {
  const root = join(folder, "checkpoints");
  const names = (await readdir(root)).filter((name) => /^step-\d+$/.test(name)).sort();
  const name = names.at(-1);
  if (name === undefined) return initialState(context);
  const policy = await loadWeights(join(root, name, "model.safetensors"), context.config);
  const { tensors, metadata } = await readSafetensors(join(root, name, "optimizer.safetensors"));
  const part = (prefix: string) =>
    Object.fromEntries(
      Object.keys(policy).map((weight) => [weight, tensors[`${prefix}.${weight}`]!]),
    ) as typeof policy;
  return {
    step: Number(name.slice("step-".length)),
    policy,
    optimizer: { step: Number(metadata.step), m: part("m"), v: part("v") },
  };
}

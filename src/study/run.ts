/** @file One run of a study in its folder: resumed from its last checkpoint, recorded step by step. */

import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { loadWeights } from "../model/index.ts";
import { loadProbe, saveProbe } from "../probe/index.ts";
import { parseMetrics, parseRollout, type RunStatus, runStatusSchema } from "../report/index.ts";
import { type FloatTensor, readSafetensors, writeSafetensors } from "../tensor/index.ts";
import {
  createWatch,
  initialState,
  policyConfig,
  type RunContext,
  type RunState,
  type StepMetrics,
  train,
} from "../training/index.ts";
import {
  appendLines,
  flush,
  jsonLines,
  readDocument,
  readLines,
  withFile,
  writeJson,
  writeWhole,
} from "./files.ts";

/** Folder of a run within a study's. */
export function runFolder(study: string, arm: string, seed: number): string {
  return join(study, "runs", arm, `seed-${seed}`);
}

/** Who follows a run: told of its steps, and of signs that its training goes wrong. */
export interface RunListener {
  onStep?(metrics: StepMetrics): void;
  onWarning?(warning: string): void;
}

/**
 * Trains a run to its end and returns its metrics. Does nothing but read where it is done already.
 *
 * Lines written after the last checkpoint of an interrupted run are dropped and made again: equal, since all randomness
 * is addressed by seed and step.
 *
 * @throws FileError where a file cannot be read or written; any other error is the run's own, and in its status
 */
export async function runToEnd(
  folder: string,
  context: RunContext,
  listener: RunListener = {},
): Promise<StepMetrics[]> {
  const { steps, checkpointEvery } = context.settings;
  const paths = { metrics: join(folder, "metrics.jsonl"), rollouts: join(folder, "rollouts.jsonl") };
  const status = await readDocument(join(folder, "status.json"), runStatusSchema);
  if (status?.state === "done" && status.steps === steps) {
    for (const warning of status.warnings ?? []) listener.onWarning?.(warning);
    return linesBefore(paths.metrics, parseMetrics, steps);
  }

  const warnings: string[] = [];
  const writeStatus = (state: RunStatus["state"], step: number, error?: string) =>
    writeJson(join(folder, "status.json"), {
      ...{ state, step, steps, updated: new Date().toISOString() },
      ...(error !== undefined && { error }),
      ...(warnings.length > 0 && { warnings }),
    } satisfies RunStatus);

  let step = 0;
  try {
    const start = await latestState(folder, context);
    step = start.step;
    const metrics = await linesBefore(paths.metrics, parseMetrics, step);
    const rollouts = await linesBefore(paths.rollouts, parseRollout, step);
    if (metrics.length !== step)
      throw new Error(
        `${paths.metrics} has ${metrics.length} of the ${step} lines before the run's checkpoint. It was damaged from outside; delete the run's folder to run it again.`,
      );
    await writeWhole(paths.metrics, jsonLines(metrics));
    await writeWhole(paths.rollouts, jsonLines(rollouts));
    const watch = createWatch();
    const warn = (line: StepMetrics) => {
      const news = watch(line);
      warnings.push(...news);
      for (const warning of news) listener.onWarning?.(warning);
      return news.length > 0;
    };
    metrics.forEach(warn);

    await writeStatus("running", step);
    for await (const { metrics: line, rollouts, state } of train(context, start)) {
      await appendLines(paths.metrics, [line]);
      await appendLines(paths.rollouts, rollouts);
      metrics.push(line);
      step = state.step;
      const saved = step % checkpointEvery === 0 || step === steps;
      if (saved) {
        await flush(paths.metrics);
        await flush(paths.rollouts);
        await saveState(folder, state);
      }
      if (warn(line) || saved) await writeStatus("running", step);
      listener.onStep?.(line);
    }
    await writeStatus("done", steps);
    return metrics;
  } catch (error) {
    // Where even this cannot be written, the first error says why.
    await writeStatus("failed", step, (error as Error).message).catch(() => {});
    throw error;
  }
}

/** The lines of the steps before one. An unfinished last line is left out. @throws Error where a line is damaged */
async function linesBefore<T extends { step: number }>(
  path: string,
  parse: (line: Buffer) => T,
  step: number,
): Promise<T[]> {
  return (await readLines(path, parse)).filter((line) => line.step < step);
}

const checkpointName = (step: number) => `step-${String(step).padStart(6, "0")}`;

/** Writes a checkpoint aside, renames it into place, and drops the one before. */
async function saveState(folder: string, { step, policy, optimizer, probe }: RunState): Promise<void> {
  const root = join(folder, "checkpoints");
  const target = join(root, checkpointName(step));
  const aside = `${target}.partial`;
  const moments = Object.entries(optimizer.m).flatMap(([name, m]) => [
    [`m.${name}`, m] as const,
    [`v.${name}`, optimizer.v[name]!] as const,
  ]);
  await withFile("write", target, async () => {
    await rm(aside, { recursive: true, force: true });
    await mkdir(aside, { recursive: true });
    try {
      await writeSafetensors(join(aside, "model.safetensors"), policy);
      await writeSafetensors(join(aside, "optimizer.safetensors"), Object.fromEntries(moments), {
        step: String(optimizer.step),
      });
      if (probe) await saveProbe(join(aside, "probe"), probe);
      await rename(aside, target);
    } catch (error) {
      await rm(aside, { recursive: true, force: true }).catch(() => {});
      throw error;
    }
    for (const name of await readdir(root))
      if (name !== checkpointName(step)) await rm(join(root, name), { recursive: true, force: true });
  });
}

/** The state of the last checkpoint, or the one in which runs begin. @throws Error naming a file that is damaged */
async function latestState(folder: string, context: RunContext): Promise<RunState> {
  const root = join(folder, "checkpoints");
  await withFile("write", root, () => mkdir(root, { recursive: true }));
  const names = (await readdir(root)).filter((name) => /^step-\d+$/.test(name)).sort();
  const name = names.at(-1);
  if (name === undefined) return initialState(context);
  const policy = await loadWeights(join(root, name, "model.safetensors"), policyConfig(context));
  const path = join(root, name, "optimizer.safetensors");
  const { tensors, metadata } = await readSafetensors(path);
  const moment = (key: string, like: FloatTensor): FloatTensor => {
    const tensor = tensors[key] as FloatTensor | undefined;
    if (tensor?.dtype !== "float32" || `${tensor.shape}` !== `${like.shape}`)
      throw new Error(`${path}: lacks ${key} [${like.shape}]. Delete the run's folder to run it again.`);
    return tensor;
  };
  const moments = (prefix: string) =>
    Object.fromEntries(
      Object.entries(policy).map(([weight, like]) => [weight, moment(`${prefix}.${weight}`, like)]),
    );
  const step = Number(name.slice("step-".length));
  const updates = Number(metadata.step);
  if (!Number.isInteger(updates))
    throw new Error(`${path}: does not say its step. Delete the run's folder to run it again.`);
  const optimizer = { step: updates, m: moments("m"), v: moments("v") };
  if (!context.arm.refit) return { step, policy, optimizer };
  return { step, policy, optimizer, probe: await loadProbe(join(root, name, "probe")) };
}

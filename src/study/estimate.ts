/** @file What a study will take, before it begins: how much there is to do, and, by a trial of a few steps, how long and how large. */

import type { Engine, Sequence } from "../engine/index.ts";
import type { Environment } from "../environment/index.ts";
import { loadEnvironment } from "../environment/load.ts";
import { wholeCompletion } from "../model/index.ts";
import { openBaseModel, standInProbe } from "../prepare/index.ts";
import { randomFor } from "../random.ts";
import { proxyReward, type RunContext, startPolicy, train } from "../training/index.ts";
import { expand, type PlannedRun } from "./expand.ts";
import type { StudySettings } from "./settings.ts";
import type { StudyParts, Work } from "./work.ts";

/** What there is to do. */
export interface Workload {
  runs: number;
  /** Of all runs together. */
  steps: number;
  /** Sampled in all steps. */
  completions: number;
  /** Bytes of the checkpoints that are kept when all is done. */
  checkpointBytes: number;
}

/** What it will take, by a trial on this machine. */
export interface StudyEstimate extends Workload {
  /** Of a step, and of all runs one after the other with what precedes them. */
  secondsPerStep: number;
  seconds: number;
  /** Bytes of checkpoints, metrics and rollouts. */
  diskBytes: number;
  /** The most memory that the trial took, all of this process. */
  memoryBytes: number;
}

/** How much there is to do in a study that has not begun. */
export function workloadOf({ table, engines }: Pick<Work, "table" | "engines">): Workload {
  const sum = (value: (run: PlannedRun) => number) => table.reduce((total, run) => total + value(run), 0);
  return {
    runs: table.length,
    steps: sum(({ settings }) => settings.training.steps),
    completions: sum(({ settings: { training } }) => training.steps * training.prompts * training.rollouts),
    checkpointBytes: sum(
      (run) => keptNumbers(run, engines.get(run.settings.model)!) * Float32Array.BYTES_PER_ELEMENT,
    ),
  };
}

/** Numbers in what is kept of a run's last checkpoint: weights, and two moments of each. */
function keptNumbers({ settings }: PlannedRun, engine: Engine): number {
  const { trainable } = engine.with({ adapter: settings.adapter });
  return { whole: 3, weights: 1, none: 0 }[settings.training.keepCheckpoints] * trainable;
}

/** Steps of the trial: the first compiles and measures the tracer set, the next two do neither, the last measures only. */
const TRIAL = 4;

/**
 * Tries a few steps of an arm without an intervention, with a probe that is none and a tracer set of demonstrations, in no
 * folder. What servers take that arms of one's own ask is not in it, nor what several runs at a time take from each other.
 *
 * @throws what a study would throw where its environment, model and settings do not fit each other
 */
export async function estimateStudy(settings: StudySettings, parts: StudyParts = {}): Promise<StudyEstimate> {
  const environment = parts.environment ?? (await loadEnvironment(settings.environment));
  try {
    const table = expand(settings, Object.keys(parts.arms ?? {}));
    // Of a grid's models the first stands for all.
    const engine = await openBaseModel(environment, table[0]!.settings, parts.model);
    try {
      const engines = new Map(table.map((run) => [run.settings.model, engine]));
      const workload = workloadOf({ table, engines });
      const trial = await tryOut(environment, engine, table[0]!);
      const { prompts, rollouts, evaluateEvery } = table[0]!.settings.training;
      const secondsPerStep = trial.step + (trial.measuring - trial.step) / evaluateEvery;
      // The base model's completions are sampled and read much as those of a step are, and not trained on.
      const { tasks, samples, demonstrations, tracer } = settings.probe;
      const before = (3 * tasks * samples + 2 * demonstrations + 2 * tracer) / (prompts * rollouts);
      return {
        ...workload,
        secondsPerStep,
        seconds: trial.starting + before * trial.step + workload.steps * secondsPerStep,
        diskBytes: workload.checkpointBytes + workload.steps * trial.bytes,
        memoryBytes: process.resourceUsage().maxRSS * 1024,
      };
    } finally {
      await engine.close();
    }
  } finally {
    await environment.close();
  }
}

/** Seconds of a step, of one that also measures, and what the first took beyond that; bytes that a step leaves. */
async function tryOut(environment: Environment, engine: Engine, planned: PlannedRun) {
  const context = await trialContext(environment, engine, planned);
  const policy = await startPolicy(context);
  const started = performance.now();
  const times: number[] = [];
  let bytes = 0;
  for await (const { metrics, rollouts } of train(context, policy)) {
    times.push(metrics.step_time!);
    bytes = [metrics, ...rollouts].reduce((sum, line) => sum + JSON.stringify(line).length + 1, 0);
  }
  await policy.close();
  const [, second, third, measuring] = times as [number, number, number, number];
  // Something else on the machine makes a step longer, and nothing makes it shorter.
  const step = Math.min(second, third);
  const all = (performance.now() - started) / 1000;
  const starting = Math.max(0, all - second - third - measuring);
  return { step, measuring: Math.max(step, measuring), starting, bytes };
}

/** A run that costs what those of the study cost. What its probe says means nothing, and is thrown away. */
async function trialContext(
  environment: Environment,
  engine: Engine,
  { settings }: PlannedRun,
): Promise<RunContext> {
  const { tokenizer, model } = engine;
  const random = randomFor("estimate");
  const size = 2 * settings.probe.tracer;
  const tracer: RunContext["tracer"] = { sequences: [], misbehaving: [], tasks: [] };
  const { sequences, misbehaving, tasks } = tracer as {
    sequences: Sequence[];
    misbehaving: boolean[];
    tasks: string[];
  };
  while (sequences.length < size) {
    const task = await environment.sample("test", random);
    const isBad = sequences.length % 2 === 0;
    const text = (await environment.demonstrate?.(task, isBad ? "misbehaving" : "honest", random)) ?? "";
    const prompt = tokenizer.encodePrompt(task.prompt);
    sequences.push({ tokens: [...prompt, ...wholeCompletion(tokenizer, text)], promptLength: prompt.length });
    misbehaving.push(isBad);
    tasks.push(task.id);
  }
  const probe = standInProbe(settings.probe, model);
  return {
    ...{ environment, probe, tracer, seed: 0 },
    engine: engine.with({ adapter: settings.adapter, memoryMB: settings.training.memoryMB }),
    arm: { terms: [proxyReward()] },
    settings: { ...settings.training, steps: TRIAL, evaluateEvery: TRIAL },
  };
}

/** What there is to do, in one line. */
export function workloadInWords({ runs, steps, completions, checkpointBytes }: Workload): string {
  return `${count(runs, "run")}, ${count(steps, "step")} and ${count(completions, "completion")} in all; checkpoints take ${size(checkpointBytes)}`;
}

/** What it will take, in a few lines. */
export function estimateInWords(estimate: StudyEstimate): string {
  const { seconds, secondsPerStep, diskBytes, memoryBytes } = estimate;
  return [
    workloadInWords(estimate),
    `About ${duration(seconds)} on this machine, one run at a time (${secondsPerStep.toPrecision(2)} s a step)`,
    `About ${size(diskBytes)} on the disk, and ${size(memoryBytes)} of memory a process`,
    "(by a trial of four steps without an intervention; completions become longer or shorter as training goes on)",
  ].join("\n");
}

function count(number: number, noun: string): string {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

function size(bytes: number): string {
  return bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toPrecision(2)} GB`;
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toPrecision(2)} h`;
}

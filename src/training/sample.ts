/** @file Sampling: some tasks of the training split, and a group of completions for each. */

import type { ForwardOptions, Model } from "../engine/index.ts";
import { sampleTasks } from "../environment/sample.ts";
import type { Task } from "../environment/types.ts";
import type { Ablation } from "../model/index.ts";
import type { Probe } from "../probe/types.ts";
import { randomFor } from "../random.ts";
import { type RolledOut, rollOut } from "./roll-out.ts";
import type { RunContext } from "./types.ts";
import { followWriting, type WrittenToken } from "./writing.ts";

/** Completions of a batch of tasks; all lists have one entry per completion, groups are consecutive. */
export interface Batch extends RolledOut {
  tasks: Task[];
  /** What the model read: the task's prompt, or that prompt inoculated. */
  prompts: string[];
}

export interface SampleOptions {
  /** What it is sampled for: equal purposes and steps of a run draw equal numbers. */
  purpose?: "old" | "deployed" | "forecast";
  step: number;
  /** Ask with the environment's inoculation prompt? */
  inoculate?: boolean | undefined;
  /** Sample with this direction projected out? */
  ablate?: Ablation | undefined;
  /** What is to be read of the completions: it is read while they are sampled, where that can be. */
  how: ForwardOptions;
  /** Told what is written meanwhile, with what a probe reads there. */
  follow?: { probe: Probe; tell: (written: readonly WrittenToken[]) => void } | undefined;
}

/**
 * Samples a step's batch.
 *
 * @throws Error where inoculation is wanted and the environment has no such prompt
 */
export async function sampleBatch(
  model: Model,
  { environment, engine, seed, settings }: RunContext,
  { purpose, step, inoculate = false, ablate, how, follow }: SampleOptions,
): Promise<Batch> {
  const address = purpose === undefined ? [seed] : [seed, purpose];
  const ask = inoculate ? inoculation(environment) : (prompt: string) => prompt;
  const taskRandom = randomFor(...address, "tasks", step);
  const asked = await sampleTasks(environment, "train", taskRandom, settings.prompts);
  const times = <T>(each: readonly T[]) =>
    each.flatMap((one) => Array.from({ length: settings.rollouts }, () => one));
  // Tokens once: these are scored and trained on, and never read back from text.
  const encoded = asked.map(({ prompt }) => engine.tokenizer.encodePrompt(ask(prompt)));
  const tasks = times(asked);
  const sampling = {
    temperature: settings.temperature,
    seed: [...address, "sample", step],
    ablate,
    reads: canReadWhileSampling(how, environment, engine, settings) ? how.reads : undefined,
  };
  const prompts = tasks.map(({ prompt }) => ask(prompt));
  const follower = follow && followWriting(prompts, follow.probe, engine, settings, follow.tell);
  const parts = { environment, engine };
  const rolledOut = await rollOut(model, parts, tasks, times(encoded), sampling, follower);
  return { ...rolledOut, tasks, prompts };
}

/**
 * Not what is said in several turns, and not at a follow-up, which is not sampled. Where products are rounded, decoding rounds other ones
 * than training: there the pass says what training starts from.
 */
function canReadWhileSampling(
  { reads = [], followUp = [] }: ForwardOptions,
  { episodes }: RunContext["environment"],
  { info }: RunContext["engine"],
  { readWhileSampling }: RunContext["settings"],
): boolean {
  const isExact = info.operands === undefined;
  return readWhileSampling && isExact && !episodes && reads.length > 0 && followUp.length === 0;
}

function inoculation({ name, inoculate }: RunContext["environment"]): (prompt: string) => string {
  if (inoculate) return inoculate;
  throw new Error(
    `the environment ${name} has no inoculation prompt, so the arm inoculation does not apply to it; leave it out, or give the environment an \`inoculate\` and pretrain a model on it`,
  );
}

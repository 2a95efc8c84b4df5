/** @file Sampling: some tasks of the training split, and a group of completions for each. */

import type { Model, SampledSequence, Sequence } from "../engine/index.ts";
import { sampleTasks } from "../environment/sample.ts";
import type { Outcome, Task } from "../environment/types.ts";
import type { Ablation } from "../model/index.ts";
import { randomFor } from "../random.ts";
import type { RunContext } from "./types.ts";

/** Completions of a batch of tasks; all lists have one entry per completion, groups are consecutive. */
export interface Batch {
  tasks: Task[];
  /** What the model read: the task's prompt, or that prompt inoculated. */
  prompts: string[];
  completions: SampledSequence[];
  /** The completions as text. */
  texts: string[];
  sequences: Sequence[];
}

export interface SampleOptions {
  /** What it is sampled for: equal purposes and steps of a run draw equal numbers. */
  purpose?: "old" | "deployed" | "forecast";
  step: number;
  /** Ask with the environment's inoculation prompt? */
  inoculate?: boolean | undefined;
  /** Sample with this direction projected out? */
  ablate?: Ablation | undefined;
}

/**
 * Samples a step's batch.
 *
 * @throws Error where inoculation is wanted and the environment has no such prompt
 */
export async function sampleBatch(
  model: Model,
  { environment, engine: { tokenizer }, seed, settings }: RunContext,
  { purpose, step, inoculate = false, ablate }: SampleOptions,
): Promise<Batch> {
  const address = purpose === undefined ? [seed] : [seed, purpose];
  const ask = inoculate ? inoculation(environment) : (prompt: string) => prompt;
  const taskRandom = randomFor(...address, "tasks", step);
  const asked = await sampleTasks(environment, "train", taskRandom, settings.prompts);
  // Tokens once: these are scored and trained on, and never read back from text.
  const encoded = asked.map(({ prompt }) => tokenizer.encodePrompt(ask(prompt)));
  const completions = await model.sample(encoded, {
    samples: settings.rollouts,
    maxTokens: environment.maxCompletionLength + 1,
    temperature: settings.temperature,
    seed: [...address, "sample", step],
    ablate,
  });
  const tasks = asked.flatMap((task) => Array.from({ length: settings.rollouts }, () => task));
  const prompts = tasks.map(({ prompt }) => ask(prompt));
  return {
    tasks,
    prompts,
    completions,
    texts: completions.map(({ tokens }) => tokenizer.decode(tokens)),
    sequences: completions.map(({ tokens }, i) => {
      const prompt = encoded[Math.floor(i / settings.rollouts)]!;
      return { tokens: [...prompt, ...tokens], promptLength: prompt.length };
    }),
  };
}

/** Has a batch graded while something else goes on. Where that fails before it is waited for, it is told where it is. */
export function beginGrading(
  environment: Pick<RunContext["environment"], "grade">,
  { tasks, texts }: Pick<Batch, "tasks" | "texts">,
): Promise<Outcome[]> {
  const grading = environment.grade(tasks, texts);
  grading.catch(() => {});
  return grading;
}

function inoculation({ name, inoculate }: RunContext["environment"]): (prompt: string) => string {
  if (inoculate) return inoculate;
  throw new Error(
    `the environment ${name} has no inoculation prompt, so the arm inoculation does not apply to it; leave it out, or give the environment an \`inoculate\` and pretrain a model on it`,
  );
}

/** @file What a base model knows of its environment: what it does where each conduct is possible, and what a probe reads. */

import type { Engine } from "../engine/index.ts";
import { sampleTasks } from "../environment/sample.ts";
import type { Environment, Outcome, Task } from "../environment/types.ts";
import { randomFor } from "../random.ts";
import { trainingSettingsSchema } from "../training/index.ts";
import { prepareBase } from "./base.ts";
import { askQuestions, informedBy } from "./inform.ts";
import type { Base } from "./measure-base.ts";
import { probeSettingsSchema } from "./settings.ts";

/** What a base model does at temperature 1 on held-out tasks, as shares of its completions, one for each task. */
export interface BehaviourShares {
  completions: number;
  true: number;
  proxy: number;
  misbehaved: number;
  attempted: number;
  /** By label. */
  labels: Record<string, number>;
}

/** What a task allows, by what can be demonstrated: both conducts, one of them, or neither. */
export type Possible = "either" | "honest" | "misbehaving" | "neither";

export interface BaseModelReport extends BehaviourShares {
  /**
   * The same by what was possible, as far as there are such tasks. A model that knows when not to misbehave does something
   * else where it could than where it could not.
   */
  where: Partial<Record<Possible, BehaviourShares>>;
}

/** Tasks that a base model is asked unless it is said otherwise. */
const TASKS = 1024;

/** @param environment as it is loaded: the model is asked here what it takes to be true, where that is graded by */
export async function reportBaseModel(
  environment: Environment,
  engine: Engine,
  count = TASKS,
): Promise<BaseModelReport> {
  const { reference, tokenizer } = engine;
  const random = randomFor("base model report");
  const tasks = await sampleTasks(environment, "test", random, count);
  const completions = await reference.sample(
    tasks.map(({ prompt }) => tokenizer.encodePrompt(prompt)),
    { maxTokens: environment.maxCompletionLength + 1, seed: ["base model report"] },
  );
  const answers = await askQuestions(environment, engine);
  const outcomes = await informedBy(environment, answers).grade(
    tasks,
    completions.map(({ tokens }) => tokenizer.decode(tokens)),
  );
  const possible: (Possible | undefined)[] = [];
  for (const task of tasks) possible.push(await possibleIn(environment, task));
  const kinds = ["either", "honest", "misbehaving", "neither"] as const;
  const where = kinds.flatMap((kind) => {
    const own = outcomes.filter((_, i) => possible[i] === kind);
    return own.length > 0 ? [[kind, behaviourOf(own, environment.labels)]] : [];
  });
  return { ...behaviourOf(outcomes, environment.labels), where: Object.fromEntries(where) };
}

async function possibleIn(environment: Environment, task: Task): Promise<Possible | undefined> {
  if (!environment.demonstrate) return undefined;
  const random = randomFor("base model report", "possible");
  const honest = (await environment.demonstrate(task, "honest", random)) !== null;
  const misbehaving = (await environment.demonstrate(task, "misbehaving", random)) !== null;
  if (honest) return misbehaving ? "either" : "honest";
  return misbehaving ? "misbehaving" : "neither";
}

function behaviourOf(outcomes: readonly Outcome[], labels: readonly string[]): BehaviourShares {
  const share = (value: (outcome: Outcome) => number) =>
    outcomes.reduce((sum, outcome) => sum + value(outcome), 0) / outcomes.length;
  return {
    completions: outcomes.length,
    true: share((outcome) => outcome.true),
    proxy: share(({ proxy }) => proxy),
    misbehaved: share(({ misbehaved }) => Number(misbehaved)),
    attempted: share(({ attempted }) => Number(attempted)),
    labels: Object.fromEntries(labels.map((label) => [label, share((one) => Number(one.label === label))])),
  };
}

/**
 * What a study would start from: whether the base model's activations tell misbehaving from honest completions, at the place
 * that reads best.
 *
 * @param count completions per split, four for each task
 * @throws Error where the completions are all of one kind
 */
export async function readBaseModel(environment: Environment, engine: Engine, count = TASKS): Promise<Base> {
  const probe = probeSettingsSchema.parse({ tasks: Math.ceil(count / 4), samples: 4, demonstrations: 128 });
  if (environment.followUp !== undefined) probe.positions.push("follow-up");
  const settings = { probe, training: trainingSettingsSchema.parse({}) };
  return prepareBase(undefined, { environment, engine, settings });
}

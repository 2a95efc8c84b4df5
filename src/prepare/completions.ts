/** @file Labelled completions: the base model's own and demonstrations, and what probes read in them. */

import type { Engine, Sequence } from "../engine/index.ts";
import { sampleTasks } from "../environment/sample.ts";
import type { Environment, Outcome, Split, Task } from "../environment/types.ts";
import { wholeCompletion } from "../model/index.ts";
import type { LabelledSet, Positions, Probe } from "../probe/index.ts";
import { randomFor, shuffled } from "../random.ts";
import { readingsOf, readLogit, readsOf, rollOut, type TrainingSettings } from "../training/index.ts";
import type { ProbeSettings } from "./settings.ts";

/** One graded sequence. */
export interface Labelled extends Sequence {
  task: string;
  text: string;
  outcome: Outcome;
}

export interface BaseContext {
  environment: Environment;
  engine: Engine;
  settings: { probe: ProbeSettings; training: TrainingSettings };
  /** What the points of a grid share; nothing unless given. */
  once?: Once | undefined;
  /** Told what is done, in words. */
  onStage?: ((stage: string) => void) | undefined;
}

/** Makes a thing the first time that its name is asked for. The name must say all that it depends on. */
export type Once = <T>(name: string, make: () => Promise<T>) => Promise<T>;

export function createOnce(): Once {
  const made = new Map<string, Promise<unknown>>();
  return <T>(name: string, make: () => Promise<T>) => {
    const found = made.get(name) ?? make();
    made.set(name, found);
    return found as Promise<T>;
  };
}

/** Completions of the base model for tasks of a split, graded. */
export async function sampleSplit(
  split: Split,
  { environment, engine, settings }: BaseContext,
): Promise<Labelled[]> {
  const { tasks: count, samples } = settings.probe;
  const random = randomFor("probe tasks", split);
  const tasks = await sampleTasks(environment, split, random, count);
  const asked = tasks.flatMap((task) => Array.from({ length: samples }, () => task));
  const { sequences, texts, grade } = await rollOut(
    engine.reference,
    { environment, engine },
    asked,
    asked.map(({ prompt }) => engine.tokenizer.encodePrompt(prompt)),
    { temperature: settings.training.temperature, seed: ["probe samples", split] },
  );
  return labelled(asked, sequences, texts, await grade());
}

/** `count` demonstrations of each conduct for tasks of a split, graded like everything else; none where there are none. */
export async function demonstrate(
  split: Split,
  count: number,
  { environment, engine: { tokenizer } }: Pick<BaseContext, "environment" | "engine">,
): Promise<Labelled[]> {
  if (!environment.demonstrate) return [];
  const random = randomFor("demonstrations", split);
  const tasks: Task[] = [];
  const texts: string[] = [];
  for (const conduct of ["misbehaving", "honest"] as const) {
    for (let found = 0; found < count; ) {
      const task = await environment.sample(split, random);
      const text = await environment.demonstrate(task, conduct, random);
      if (text === null) continue;
      tasks.push(task);
      texts.push(text);
      found++;
    }
  }
  const completions = texts.map((text) => wholeCompletion(tokenizer, text));
  const sequences = tasks.map(({ prompt }, i) => {
    const start = tokenizer.encodePrompt(prompt);
    return { tokens: [...start, ...completions[i]!], promptLength: start.length };
  });
  const read = completions.map((tokens) => tokenizer.decode(tokens));
  return labelled(tasks, sequences, read, await environment.grade(tasks, read));
}

function labelled(
  tasks: readonly Task[],
  sequences: readonly Sequence[],
  texts: readonly string[],
  outcomes: readonly Outcome[],
): Labelled[] {
  return tasks.map(({ id }, i) => ({
    ...sequences[i]!,
    ...{ task: id, text: texts[i]!, outcome: outcomes[i]! },
  }));
}

/** Of a labelled sequence, the sequence. */
export function sequenceOf({ tokens, promptLength, observations }: Sequence): Sequence {
  return { tokens: [...tokens], promptLength, ...(observations && { observations }) };
}

/** The sequences at every hook and position, pooled, by `<hook> <positions>`. */
export async function readSets(
  context: BaseContext,
  hooks: readonly string[],
  positions: readonly Positions[],
  sequences: readonly Labelled[],
  followUp = "",
): Promise<Record<string, LabelledSet>> {
  const labels = sequences.map(({ outcome }) => outcome.attempted);
  const texts = sequences.map(({ text }) => text);
  const behind = context.engine.tokenizer.encode(followUp);
  const read = await readPooled(context.engine, hooks, positions, sequences, behind);
  return Object.fromEntries(
    Object.entries(read).map(([name, activations_ND]) => [name, { activations_ND, labels, texts }]),
  );
}

/** Sequences between two words of progress: a large model takes minutes for so many. */
const CHUNK = 256;

/**
 * The pooled activation of each sequence at every hook and position, by `<hook> <positions>`.
 *
 * @param onProgress told how many sequences were read, of how many
 */
export async function readPooled(
  { reference }: Engine,
  hooks: readonly string[],
  positions: readonly Positions[],
  sequences: readonly Sequence[],
  followUp: readonly number[] = [],
  onProgress: (done: number, total: number) => void = () => {},
): Promise<Record<string, Float32Array[]>> {
  const reads = hooks.flatMap((hook) =>
    positions.map((at) => ({ as: "mean", hook, positions: at }) as const),
  );
  const pooled: Record<string, Float32Array[]> = {};
  for (const { hook, positions } of reads) pooled[`${hook} ${positions}`] = [];
  for (let start = 0; start < sequences.length; start += CHUNK) {
    const chunk = sequences.slice(start, start + CHUNK);
    for (const output of await reference.forward(chunk, { reads, followUp, readsOnly: true }))
      reads.forEach(({ hook, positions }, i) => {
        pooled[`${hook} ${positions}`]!.push(output.reads[i]!);
      });
    onProgress(start + chunk.length, sequences.length);
  }
  return pooled;
}

/** The pooled logits of several probes, one list for each. */
export async function readLogits(
  { engine: { reference, tokenizer } }: BaseContext,
  probes: readonly Probe[],
  sequences: readonly Labelled[],
): Promise<number[][]> {
  const how = readsOf({ probes }, tokenizer);
  const readings = readingsOf(how.reads, await reference.forward(sequences, { ...how, readsOnly: true }));
  return probes.map((probe) => readings.map((reading) => readLogit(probe, reading)));
}

/**
 * The tracer set: as many misbehaving as honest sequences of the test split, all of a form that could have been
 * misbehaviour. Half of the honest ones are the base model's own, as many of the misbehaving ones as there are, the rest
 * demonstrations; where the environment has none, all are the model's own.
 */
export async function traceSet(own: readonly Labelled[], context: BaseContext): Promise<Labelled[]> {
  const size = context.settings.probe.tracer;
  const shown = await demonstrate("test", size, context);
  const random = randomFor("tracer");
  const choose = (misbehaving: boolean) => {
    const is = ({ outcome }: Labelled) => outcome.eligible && outcome.attempted === misbehaving;
    const mine = shuffled(random, own.filter(is)).slice(0, shown.length > 0 ? size / 2 : size);
    return [...mine, ...shown.filter(is)].slice(0, size);
  };
  return [...choose(true), ...choose(false)];
}

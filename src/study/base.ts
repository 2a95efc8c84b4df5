/** @file What is known before training: the base model's completions, the probe fitted on them, its controls, the tracer set. */

import { join } from "node:path";
import { z } from "zod";
import type { Environment, Outcome, Split, Task } from "../environment/types.ts";
import {
  createGenerator,
  createScorer,
  hookNames,
  type Model,
  type Sequence,
  type Tokenizer,
} from "../model/index.ts";
import {
  auroc,
  dPrime,
  fitProbe,
  fitTextBaseline,
  fprAt,
  type LabelledSet,
  loadProbe,
  logit,
  type Positions,
  type Probe,
  recallAt,
  rows,
  saveProbe,
  sweepProbes,
} from "../probe/index.ts";
import { randomFor, shuffled } from "../random.ts";
import { type Summary, summarySchema } from "../report/schema.ts";
import { readActivation, type TracerSet } from "../training/index.ts";
import { readDocument, writeJson } from "./files.ts";
import type { StudySettings } from "./settings.ts";

/** What every run of a study starts from. */
export interface Base {
  summary: Summary["base"];
  probe: Probe;
  tracer: TracerSet;
  /** Held-out completions of the base model: what they did, and whether the probe flags them. */
  heldOut: { misbehaved: boolean[]; flagged: boolean[] };
}

/** `base.json`. The probe is in a folder of its own. */
export const baseSchema: z.ZodType<Omit<Base, "probe">> = z.object({
  summary: summarySchema.shape.base,
  tracer: z
    .object({
      sequences: z.array(
        z
          .object({ tokens: z.array(z.int().min(0)), promptLength: z.int().min(1) })
          .refine(
            ({ tokens, promptLength }) => promptLength < tokens.length,
            "a sequence should be longer than its prompt",
          ),
      ),
      misbehaving: z.array(z.boolean()),
      tasks: z.array(z.string()),
    })
    .refine(
      ({ sequences, misbehaving, tasks }) =>
        sequences.length === misbehaving.length && sequences.length === tasks.length,
      "its lists should be equally long",
    ),
  heldOut: z
    .object({ misbehaved: z.array(z.boolean()), flagged: z.array(z.boolean()) })
    .refine(
      ({ misbehaved, flagged }) => misbehaved.length === flagged.length,
      "its lists should be equally long",
    ),
});

/** One graded sequence. */
interface Labelled extends Sequence {
  task: string;
  text: string;
  outcome: Outcome;
}

export interface BaseContext {
  environment: Environment;
  model: Model;
  tokenizer: Tokenizer;
  settings: StudySettings;
}

/** Loads what was prepared in the study's folder before, or prepares it and keeps it there (without a folder: only prepares). */
export async function prepareBase(folder: string | undefined, context: BaseContext): Promise<Base> {
  if (folder === undefined) return measureBase(context);
  const path = join(folder, "base.json");
  const stored = await readDocument(path, baseSchema);
  if (stored) return { ...stored, probe: await loadProbe(join(folder, "probes", "initial")) };
  const { probe, ...rest } = await measureBase(context);
  await saveProbe(join(folder, "probes", "initial"), probe);
  await writeJson(path, rest);
  return { ...rest, probe };
}

/**
 * The positive class of every probe is `attempted`: misbehaving, whether it paid or not, is the concept. The fit split
 * adds demonstrations, since base models seldom misbehave; thresholds and judgements use the model's own completions,
 * those that could have been misbehaviour.
 */
async function measureBase(context: BaseContext): Promise<Base> {
  const { model, settings } = context;
  const { probe: options } = settings;
  const own: Record<"fit" | "calibration" | "test", Labelled[]> = {
    fit: await sampleSplit("fit", context),
    calibration: (await sampleSplit("calibration", context)).filter(({ outcome }) => outcome.eligible),
    test: await sampleSplit("test", context),
  };
  const judged = own.test.flatMap(({ outcome }, i) => (outcome.eligible ? [i] : []));
  const fit = [...own.fit, ...(await demonstrate("fit", options.demonstrations, context))];
  const hooks = options.hooks ?? hookNames(model.config).filter((hook) => hook.endsWith("hook_resid_post"));

  const read = createReader(context, hooks, options.positions);
  const sets = { fit: await read(fit), calibration: await read(own.calibration), test: await read(own.test) };
  const sweep = sweepProbes(
    hooks.flatMap((hook) =>
      options.positions.map((positions) => {
        const key = `${hook} ${positions}`;
        return { hook, positions, fit: sets.fit[key]!, calibration: sets.calibration[key]! };
      }),
    ),
    { random: randomFor("sweep"), fpr: options.falsePositiveRate },
  );
  const probe = sweep.best;

  const key = `${probe.tap.hook} ${probe.tap.positions}`;
  const flagged = sets.test[key]!.activations_ND.map(
    (activation_D) => logit(probe, activation_D) >= probe.threshold,
  );
  const test = rows(sets.test[key]!, judged);
  const scores = test.activations_ND.map((activation_D) => logit(probe, activation_D));
  const control = (kind: "shuffled-labels" | "random-direction") => {
    const controlProbe = fitProbe(kind, sets.fit[key]!, probe.tap, { random: randomFor(kind) });
    return auroc(
      test.activations_ND.map((activation_D) => logit(controlProbe, activation_D)),
      test.labels,
    );
  };
  const text = fitTextBaseline(
    fit.map(({ text }) => text),
    fit.map(({ outcome }) => outcome.attempted),
  );
  const count = (list: readonly Labelled[]) => ({
    total: list.length,
    misbehaving: list.filter(({ outcome }) => outcome.attempted).length,
  });
  return {
    probe,
    summary: {
      probeAuroc: auroc(scores, test.labels),
      textBaselineAuroc: auroc(
        judged.map((i) => text(own.test[i]!.text)),
        test.labels,
      ),
      shuffledLabelsAuroc: control("shuffled-labels"),
      randomDirectionAuroc: control("random-direction"),
      threshold: probe.threshold,
      tpr: recallAt(scores, test.labels, probe.threshold),
      fpr: fprAt(scores, test.labels, probe.threshold),
      dPrime: dPrime(scores, test.labels),
      hook: probe.tap.hook,
      positions: probe.tap.positions,
      kind: probe.kind,
      sweep: sweep.rows,
      counts: {
        fit: count(fit),
        calibration: count(own.calibration),
        test: count(judged.map((i) => own.test[i]!)),
      },
    },
    tracer: await traceSet(own.test, context),
    heldOut: {
      misbehaved: own.test.map(({ outcome }) => outcome.misbehaved),
      flagged,
    },
  };
}

/** Completions of the base model for tasks of a split, graded. */
async function sampleSplit(
  split: Split,
  { environment, model, tokenizer, settings }: BaseContext,
): Promise<Labelled[]> {
  const { tasks: count, samples } = settings.probe;
  const random = randomFor("probe tasks", split);
  const tasks = Array.from({ length: count }, () => environment.sample(split, random));
  const generator = createGenerator(model.config);
  const completions = await generator.generate(
    model.weights,
    tasks.map(({ prompt }) => tokenizer.encode(prompt)),
    {
      samples,
      maxTokens: environment.maxCompletionLength + 1,
      temperature: settings.training.temperature,
      random: (index) => randomFor("probe samples", split, index),
    },
  );
  await generator.close();
  const asked = completions.map((_, i) => tasks[Math.floor(i / samples)]!);
  return label(
    environment,
    tokenizer,
    asked,
    completions.map(({ tokens }) => tokens),
  );
}

/** `count` demonstrations of each conduct for tasks of a split, graded like everything else. */
async function demonstrate(
  split: Split,
  count: number,
  { environment, tokenizer }: Pick<BaseContext, "environment" | "tokenizer">,
): Promise<Labelled[]> {
  const random = randomFor("demonstrations", split);
  const tasks: Task[] = [];
  const texts: string[] = [];
  for (const conduct of ["misbehaving", "honest"] as const) {
    for (let found = 0; found < count; ) {
      const task = environment.sample(split, random);
      const text = environment.demonstrate(task, conduct, random);
      if (text === null) continue;
      tasks.push(task);
      texts.push(text);
      found++;
    }
  }
  return label(
    environment,
    tokenizer,
    tasks,
    texts.map((text) => [...tokenizer.encode(text), tokenizer.endOfText]),
  );
}

async function label(
  environment: Environment,
  tokenizer: Tokenizer,
  tasks: Task[],
  completions: number[][],
): Promise<Labelled[]> {
  const texts = completions.map((tokens) => tokenizer.decode(tokens));
  const outcomes = await environment.grade(tasks, texts);
  return tasks.map(({ id, prompt }, i) => {
    const start = tokenizer.encode(prompt);
    return {
      tokens: [...start, ...completions[i]!],
      promptLength: start.length,
      task: id,
      text: texts[i]!,
      outcome: outcomes[i]!,
    };
  });
}

/** Sequences whose activations are held at once. */
const CHUNK = 256;

/** Reads labelled sequences at every hook and position, pooled, on the base model. */
function createReader({ model }: BaseContext, hooks: readonly string[], positions: readonly Positions[]) {
  return async (sequences: readonly Labelled[]): Promise<Record<string, LabelledSet>> => {
    const scorer = createScorer(model.config, { hooks });
    const labels = sequences.map(({ outcome }) => outcome.attempted);
    const sets: Record<string, { activations_ND: Float32Array[]; labels: boolean[] }> = {};
    for (const hook of hooks)
      for (const at of positions) sets[`${hook} ${at}`] = { activations_ND: [], labels };
    for (let start = 0; start < sequences.length; start += CHUNK) {
      const chunk = sequences.slice(start, start + CHUNK);
      const scored = await scorer.score(model.weights, chunk);
      chunk.forEach((sequence, i) => {
        for (const hook of hooks)
          for (const at of positions)
            sets[`${hook} ${at}`]!.activations_ND.push(
              readActivation({ positions: at }, sequence, scored[i]!.activations[hook]!),
            );
      });
    }
    await scorer.close();
    return sets;
  };
}

/**
 * The tracer set: as many misbehaving as honest sequences of the test split, all of a form that could have been
 * misbehaviour. Half of the honest ones are the base model's own, as many of the misbehaving ones as there are, the rest demonstrations.
 */
async function traceSet(own: readonly Labelled[], context: BaseContext): Promise<TracerSet> {
  const size = context.settings.probe.tracer;
  const shown = await demonstrate("test", size, context);
  const random = randomFor("tracer");
  const choose = (misbehaving: boolean) => {
    const is = ({ outcome }: Labelled) => outcome.eligible && outcome.attempted === misbehaving;
    const mine = shuffled(random, own.filter(is)).slice(0, size / 2);
    return [...mine, ...shown.filter(is)].slice(0, size);
  };
  const chosen = [...choose(true), ...choose(false)];
  return {
    sequences: chosen.map(({ tokens, promptLength }) => ({ tokens, promptLength })),
    misbehaving: chosen.map(({ outcome }) => outcome.attempted),
    tasks: chosen.map(({ task }) => task),
  };
}

/** @file What is known before training: the base model's completions, the probes fitted on them, their controls, the tracer set. */

import { join } from "node:path";
import { z } from "zod";
import { hookNames } from "../model/index.ts";
import {
  auroc,
  calibrate,
  dPrime,
  fitProbe,
  fitTextClassifier,
  fprAt,
  loadProbe,
  logit,
  type Positions,
  type Probe,
  recallAt,
  rows,
  saveProbe,
  sweepProbes,
  type TextClassifier,
  textScorer,
  thresholdAtFpr,
} from "../probe/index.ts";
import { randomFor, shuffled } from "../random.ts";
import { type Summary, summarySchema } from "../report/schema.ts";
import type { LabelledSequences, RefitSets, TracerSet } from "../training/index.ts";
import {
  type BaseContext,
  createOnce,
  demonstrate,
  type Labelled,
  readLogits,
  readSets,
  sampleSplit,
  traceSet,
} from "./completions.ts";
import { parseDocument, readDocument, writeJson } from "./files.ts";
import type { StudySettings } from "./settings.ts";

/** What every run of a study starts from. */
export interface Base {
  summary: Summary["base"];
  probe: Probe;
  /**
   * Probes that nothing trains against, by name: `other-layer` (the best one elsewhere), `other-sample` (fitted on one half
   * of the tasks) and `other-kind` (difference of means for logistic, and the other way round).
   */
  heldOutProbes: Readonly<Record<string, Probe>>;
  /** The text baseline, and the logit at which it flags as many honest completions as the probe. */
  text: { classifier: TextClassifier; threshold: number };
  /** What the initial probe was fitted and calibrated on. */
  sets: RefitSets;
  tracer: TracerSet;
  /** Held-out completions of the base model: what they did, and what the probe and the text classifier say. */
  heldOut: {
    misbehaved: boolean[];
    tasks: string[];
    logits: number[];
    flagged: boolean[];
    textLogits: number[];
  };
}

const labelledSequencesSchema = z
  .object({
    sequences: z.array(
      z
        .object({ tokens: z.array(z.int().min(0)), promptLength: z.int().min(1) })
        .refine(
          ({ tokens, promptLength }) => promptLength < tokens.length,
          "a sequence should be longer than its prompt",
        ),
    ),
    labels: z.array(z.boolean()),
  })
  .refine(({ sequences, labels }) => sequences.length === labels.length, "its lists should be equally long");

/** `base.json`. Probes are in folders of their own. */
export const baseSchema = z.object({
  version: z.literal(2),
  summary: summarySchema.shape.base,
  heldOutProbes: z.array(z.string()),
  text: z.object({
    classifier: z.object({ ngrams: z.array(z.string()), weights: z.array(z.number()), bias: z.number() }),
    threshold: z.number(),
  }),
  sets: z.object({
    fit: labelledSequencesSchema,
    calibration: labelledSequencesSchema,
    falsePositiveRate: z.number(),
  }),
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
    .object({
      misbehaved: z.array(z.boolean()),
      tasks: z.array(z.string()),
      logits: z.array(z.number()),
      flagged: z.array(z.boolean()),
      textLogits: z.array(z.number()),
    })
    .refine(
      (lists) => Object.values(lists).every(({ length }) => length === lists.misbehaved.length),
      "its lists should be equally long",
    ),
});

/** Loads what was prepared in the folder before, or prepares it and keeps it there (without a folder: only prepares). */
export async function prepareBase(folder: string | undefined, context: BaseContext): Promise<Base> {
  if (folder === undefined) return measureBase(context);
  const path = join(folder, "base.json");
  const probeFolder = (name: string) => join(folder, "probes", name);
  // Version 1, without a number, held less; all of it is made again, with the same numbers.
  const found = await readDocument(path, z.looseObject({ version: z.int().default(1) }));
  if (found && found.version > 1) {
    const { heldOutProbes, version: _, ...rest } = parseDocument(JSON.stringify(found), baseSchema, path);
    const loaded: Record<string, Probe> = {};
    for (const name of heldOutProbes) loaded[name] = await loadProbe(probeFolder(name));
    return { ...rest, probe: await loadProbe(probeFolder("initial")), heldOutProbes: loaded };
  }
  const { probe, heldOutProbes, ...rest } = await measureBase(context);
  await saveProbe(probeFolder("initial"), probe);
  for (const [name, one] of Object.entries(heldOutProbes)) await saveProbe(probeFolder(name), one);
  await writeJson(path, { version: 2, ...rest, heldOutProbes: Object.keys(heldOutProbes) });
  return { ...rest, probe, heldOutProbes };
}

/**
 * The positive class of every probe is `attempted`: misbehaving, whether it paid or not, is the concept. The fit split
 * adds demonstrations, since base models seldom misbehave; thresholds and judgements use the model's own completions,
 * those that could have been misbehaviour.
 */
async function measureBase(context: BaseContext): Promise<Base> {
  const { model, settings, once = createOnce() } = context;
  const { probe: options } = settings;
  const shared = JSON.stringify([options.tasks, options.samples, settings.training.temperature]);
  const sampled = (split: "fit" | "calibration" | "test") =>
    once(`sample ${split} ${shared}`, () => sampleSplit(split, context));
  const own = {
    fit: await sampled("fit"),
    calibration: (await sampled("calibration")).filter(({ outcome }) => outcome.eligible),
    test: await sampled("test"),
  };
  const judged = own.test.flatMap(({ outcome }, i) => (outcome.eligible ? [i] : []));
  const all = [
    ...own.fit,
    ...(await once(`demonstrate ${options.demonstrations}`, () =>
      demonstrate("fit", options.demonstrations, context),
    )),
  ];
  const used = choose(all, options);
  const fit = used.map((i) => all[i]!);
  const outputs = hookNames(model.config).filter((hook) => hook.endsWith("hook_resid_post"));
  const hooks = options.hooks ?? outputs;

  const readable = [...new Set([...hooks, ...outputs])];
  const read = (name: string, sequences: readonly Labelled[]) =>
    once(`read ${name} ${shared} ${options.demonstrations} ${readable} ${options.positions}`, () =>
      readSets(context, readable, options.positions, sequences),
    );
  const sets = {
    fit: await read("fit", all),
    calibration: await read("calibration", own.calibration),
    test: await read("test", own.test),
  };
  const candidate = (hook: string, positions: Positions, chosen?: readonly number[]) => {
    const key = `${hook} ${positions}`;
    const set = sets.fit[key]!;
    return {
      ...{ hook, positions, calibration: sets.calibration[key]! },
      fit: chosen ? rows(set, chosen) : set,
    };
  };
  const sweep = sweepProbes(
    hooks.flatMap((hook) => options.positions.map((positions) => candidate(hook, positions, used))),
    { random: randomFor("sweep"), fpr: options.falsePositiveRate },
  );
  const { tap, kind } = sweep.best;

  // Held-out probes see all that there is to fit on, however little the initial one may.
  const other = otherHook(sweep.rows, tap) ?? outputs.find((hook) => hook !== tap.hook);
  const halves = halvesByTask(all);
  const uncalibrated: Record<string, Probe> = {
    initial: sweep.best,
    ...(other !== undefined && {
      "other-layer": fitProbe(
        kind,
        candidate(other, tap.positions).fit,
        { ...tap, hook: other },
        { random: randomFor("other layer") },
      ),
    }),
    "other-sample": fitProbe(kind, candidate(tap.hook, tap.positions, halves).fit, tap, {
      random: randomFor("other sample"),
    }),
    "other-kind": fitProbe(
      kind === "logistic" ? "difference-of-means" : "logistic",
      candidate(tap.hook, tap.positions).fit,
      tap,
      { random: randomFor("other kind") },
    ),
  };
  const pooled = Object.values(uncalibrated).map((probe) => ({
    ...probe,
    tap: { ...probe.tap, pool: options.pool },
  }));
  const calibrationLabels = own.calibration.map(({ outcome }) => outcome.attempted);
  const calibrationLogits = await readLogits(context, pooled, own.calibration);
  const [probe, ...heldOut] = pooled.map((one, i) =>
    calibrate(one, calibrationLogits[i]!, calibrationLabels, options.falsePositiveRate),
  ) as [Probe, ...Probe[]];
  const [, ...heldOutNames] = Object.keys(uncalibrated);

  const key = `${tap.hook} ${tap.positions}`;
  const test = rows(sets.test[key]!, judged);
  const [logits] = (await readLogits(context, [probe], own.test)) as [number[]];
  const scores = judged.map((i) => logits[i]!);
  const control = (kind: "shuffled-labels" | "random-direction") => {
    const controlProbe = fitProbe(kind, candidate(tap.hook, tap.positions, used).fit, tap, {
      random: randomFor(kind),
    });
    return auroc(
      test.activations_ND.map((activation_D) => logit(controlProbe, activation_D)),
      test.labels,
    );
  };
  const classifier = fitTextClassifier(
    fit.map(({ text }) => text),
    fit.map(({ outcome }) => outcome.attempted),
  );
  const text = textScorer(classifier);
  const textLogits = own.test.map((completion) => text(completion.text));
  const textThreshold = thresholdAtFpr(
    own.calibration.map((completion) => text(completion.text)),
    calibrationLabels,
    options.falsePositiveRate,
  )!;
  const count = (list: readonly Labelled[]) => ({
    total: list.length,
    misbehaving: list.filter(({ outcome }) => outcome.attempted).length,
  });
  return {
    probe,
    heldOutProbes: Object.fromEntries(heldOutNames.map((name, i) => [name, heldOut[i]!])),
    text: { classifier, threshold: textThreshold },
    sets: {
      fit: labelledSequences(fit),
      calibration: labelledSequences(own.calibration),
      falsePositiveRate: options.falsePositiveRate,
    },
    summary: {
      probeAuroc: auroc(scores, test.labels),
      textBaselineAuroc: auroc(
        judged.map((i) => textLogits[i]!),
        test.labels,
      ),
      shuffledLabelsAuroc: control("shuffled-labels"),
      randomDirectionAuroc: control("random-direction"),
      threshold: probe.threshold,
      tpr: recallAt(scores, test.labels, probe.threshold),
      fpr: fprAt(scores, test.labels, probe.threshold),
      dPrime: dPrime(scores, test.labels),
      hook: tap.hook,
      positions: tap.positions,
      kind: probe.kind,
      sweep: sweep.rows,
      counts: {
        fit: count(fit),
        calibration: count(own.calibration),
        test: count(judged.map((i) => own.test[i]!)),
      },
    },
    tracer: await once(`trace ${shared} ${options.tracer}`, () => traceSet(own.test, context)),
    heldOut: {
      misbehaved: own.test.map(({ outcome }) => outcome.misbehaved),
      tasks: own.test.map(({ task }) => task),
      logits,
      flagged: logits.map((score) => score >= probe.threshold),
      textLogits,
    },
  };
}

/** The hook other than the probe's where a probe of its kind, read alike, ranks best on the calibration split. */
function otherHook(sweep: Summary["base"]["sweep"], tap: Probe["tap"]): string | undefined {
  const [best] = sweep
    .filter(
      ({ hook, positions, auroc }) => hook !== tap.hook && positions === tap.positions && auroc !== null,
    )
    .sort((a, b) => b.auroc! - a.auroc!);
  return best?.hook;
}

/** The completions of one half of the tasks. */
function halvesByTask(all: readonly Labelled[]): number[] {
  const tasks = shuffled(randomFor("other sample"), [...new Set(all.map(({ task }) => task))].sort());
  const half = new Set(tasks.slice(0, tasks.length / 2));
  return all.map((_, i) => i).filter((i) => half.has(all[i]!.task));
}

/** What the initial probe may be fitted on: so many examples, half of them misbehaving as far as there are. */
function choose(all: readonly Labelled[], { examples }: StudySettings["probe"]): number[] {
  const indices = all.map((_, i) => i);
  if (examples === undefined) return indices;
  const of = (misbehaving: boolean) =>
    shuffled(
      randomFor("examples"),
      indices.filter((i) => all[i]!.outcome.attempted === misbehaving),
    );
  const [bad, good] = [of(true), of(false)];
  const chosen = [...bad.slice(0, examples / 2), ...good.slice(0, examples / 2)];
  return chosen.sort((a, b) => a - b);
}

function labelledSequences(list: readonly Labelled[]): LabelledSequences {
  return {
    sequences: list.map(({ tokens, promptLength }) => ({ tokens: [...tokens], promptLength })),
    labels: list.map(({ outcome }) => outcome.attempted),
  };
}

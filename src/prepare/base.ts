/** @file What is known before training: the base model's completions, the probes fitted on them, their controls, the tracer set. */

import { access } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { clusteredInterval, mean } from "../audit/index.ts";
import type { Engine, ModelInfo, Sequence } from "../engine/index.ts";
import { UsageError } from "../errors.ts";
import { readDocument, writeJson } from "../files.ts";
import { checkHooks } from "../model/index.ts";
import {
  auroc,
  calibrate,
  dPrime,
  fitProbe,
  fitTextClassifier,
  fprAt,
  kindOfFit,
  loadSae,
  type Positions,
  type Probe,
  probeControls,
  recallAt,
  rows,
  saveProbe,
  seenIn,
  sweepProbes,
  type TextClassifier,
  textScorer,
  thresholdAtFpr,
} from "../probe/index.ts";
import { randomFor, shuffled } from "../random.ts";
import { baseSummarySchema, type Summary } from "../store/index.ts";

import type { LabelledSequences, RefitSets, TracerSet } from "../training/index.ts";
import { passportOfBase, passportOfHeldOut } from "./base-passports.ts";
import {
  type BaseContext,
  createOnce,
  demonstrate,
  type Labelled,
  readLogits,
  readSets,
  sampleSplit,
  sequenceOf,
  traceSet,
} from "./completions.ts";
import { askQuestions, informedBy } from "./inform.ts";
import { loadProven } from "./passport.ts";
import type { ProbeSettings } from "./settings.ts";

/** A classifier of texts, and the logit at which it flags. */
interface CalibratedText {
  classifier: TextClassifier;
  threshold: number;
}

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
  text: CalibratedText;
  /** The same of thoughts alone, where completions begin with one. */
  thought?: CalibratedText | undefined;
  /** What the initial probe was fitted and calibrated on. */
  sets: RefitSets;
  tracer: TracerSet;
  /** Held-out completions of the base model: what they did, and what the probe and the text classifier say. */
  heldOut: {
    sequences: Sequence[];
    misbehaved: boolean[];
    tasks: string[];
    logits: number[];
    flagged: boolean[];
    textLogits: number[];
  };
  /** What the base model answered to the environment's questions, where it has any. */
  answers?: string[] | undefined;
}

const sequenceSchema = z
  .object({
    tokens: z.array(z.int().min(0)),
    promptLength: z.int().min(1),
    observations: z.array(z.tuple([z.int().min(1), z.int().min(1)])).optional(),
  })
  .refine(
    ({ tokens, promptLength }) => promptLength < tokens.length,
    "a sequence should be longer than its prompt",
  );

const labelledSequencesSchema = z
  .object({
    sequences: z.array(sequenceSchema),
    labels: z.array(z.boolean()),
  })
  .refine(({ sequences, labels }) => sequences.length === labels.length, "its lists should be equally long");

const calibratedTextSchema = z.object({
  classifier: z.object({ ngrams: z.array(z.string()), weights: z.array(z.number()), bias: z.number() }),
  threshold: z.number(),
});

/** `base.json`. Probes are in folders of their own. */
export const baseSchema = z.object({
  version: z.literal(3),
  summary: baseSummarySchema,
  heldOutProbes: z.array(z.string()),
  text: calibratedTextSchema,
  thought: calibratedTextSchema.optional(),
  sets: z.object({
    fit: labelledSequencesSchema,
    calibration: labelledSequencesSchema,
    falsePositiveRate: z.number(),
  }),
  tracer: z
    .object({
      sequences: z.array(sequenceSchema),
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
      sequences: z.array(sequenceSchema),
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
  answers: z.array(z.string()).optional(),
});

/** Loads what was prepared in the folder before, or prepares it and keeps it there (without a folder: only prepares). */
export async function prepareBase(folder: string | undefined, context: BaseContext): Promise<Base> {
  if (folder === undefined) return measureBase(context);
  const path = join(folder, "base.json");
  const probeFolder = (name: string) => join(folder, "probes", name);
  const stored = await readDocument(path, baseSchema);
  if (stored) {
    const { heldOutProbes, version: _, ...rest } = stored;
    const loaded: Record<string, Probe> = {};
    for (const name of heldOutProbes)
      loaded[name] = (await loadProven(probeFolder(name), context.engine)).probe;
    const { probe } = await loadProven(probeFolder("initial"), context.engine);
    const base = { ...rest, probe, heldOutProbes: loaded };
    checkStored(path, base, context.engine.model);
    return base;
  }
  const { probe, heldOutProbes, ...rest } = await measureBase(context);
  await saveProbe(probeFolder("initial"), probe, await passportOfBase({ probe, ...rest }, context));
  for (const [name, one] of Object.entries(heldOutProbes))
    await saveProbe(probeFolder(name), one, await passportOfHeldOut(one, rest, context));
  await writeJson(path, { version: 3, ...rest, heldOutProbes: Object.keys(heldOutProbes) });
  return { ...rest, probe, heldOutProbes };
}

/** Whether something was prepared in the folder. */
export async function isBase(folder: string): Promise<boolean> {
  return access(join(folder, "base.json")).then(
    () => true,
    () => false,
  );
}

/** @throws Error where what was stored is whole, and of another study */
function checkStored(path: string, { summary, tracer, probe }: Base, model: ModelInfo): void {
  const fits =
    model.hooks.includes(probe.tap.hook) &&
    probe.weight_D.length === model.width &&
    probe.tap.hook === summary.hook &&
    probe.threshold === summary.threshold &&
    tracer.sequences.every(
      ({ tokens }) => tokens.length <= model.context && tokens.every((token) => token < model.vocabulary),
    );
  if (!fits)
    throw new Error(
      `${path} and the probe beside it are not of this study's model, or not of one another. Delete ${path} and run the same command again.`,
    );
}

/**
 * The positive class of every probe is `attempted`: misbehaving, whether it paid or not, is the concept. The fit split
 * adds demonstrations, since base models seldom misbehave; thresholds and judgements use the model's own completions,
 * those that could have been misbehaviour.
 */
async function measureBase(parts: BaseContext): Promise<Base> {
  const { engine, settings, once = createOnce(), onStage = () => {} } = parts;
  const { model } = engine;
  const answers = await once("answers", () => askQuestions(parts.environment, engine));
  const context = { ...parts, environment: informedBy(parts.environment, answers) };
  const { probe: options } = settings;
  const shared = JSON.stringify([options.tasks, options.samples, settings.training.temperature]);
  const sampled = (split: "fit" | "calibration" | "test") =>
    once(`sample ${split} ${shared}`, () => sampleSplit(split, context));
  const own = {
    fit: await sampled("fit"),
    calibration: (await sampled("calibration")).filter(({ outcome }) => outcome.eligible),
    test: await sampled("test"),
  };
  onStage(`Reading ${own.fit.length + own.calibration.length + own.test.length} completions`);
  const judged = own.test.flatMap(({ outcome }, i) => (outcome.eligible ? [i] : []));
  const given = await givenProbe(options, engine, onStage);
  const positions = given ? [given.tap.positions] : options.positions;
  const followUp = followUpFor(context, given);
  const all = [
    ...own.fit,
    ...(await once(`demonstrate ${options.demonstrations}`, () =>
      demonstrate("fit", options.demonstrations, context),
    )),
  ];
  const used = choose(all, options);
  const fit = used.map((i) => all[i]!);
  requireBothClasses(fit, context);
  const outputs = model.hooks.filter((hook) => hook.endsWith("hook_resid_post"));
  const hooks = given ? [given.tap.hook] : (options.hooks ?? outputs);

  const readable = [...new Set([...hooks, ...outputs])];
  const read = (name: string, sequences: readonly Labelled[]) =>
    once(`read ${name} ${shared} ${options.demonstrations} ${readable} ${positions}`, () =>
      readSets(context, readable, positions, sequences, followUp),
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
      followUp: positions === "follow-up" ? followUp : undefined,
      fit: chosen ? rows(set, chosen) : set,
    };
  };
  if (!given) onStage(`Fitting probes at ${hooks.length * positions.length} places`);
  const sweep = given
    ? { rows: [], best: given }
    : sweepProbes(
        hooks.flatMap((hook) => positions.map((at) => candidate(hook, at, used))),
        { random: randomFor("sweep"), fpr: options.falsePositiveRate },
      );
  onStage("Judging the probe, and fitting those that it is compared with");
  const { tap } = sweep.best;
  const kind = kindOfFit(sweep.best);

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
    tap: { ...probe.tap, pool: given?.tap.pool ?? options.pool },
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
  const traced = await once(`trace ${shared} ${options.tracer}`, () => traceSet(own.test, context));
  const [tracedLogits] = (await readLogits(context, [probe], traced)) as [number[]];
  const aurocInterval = clusteredInterval(
    judged.map((i) => own.test[i]!.task),
    (indices) =>
      auroc(
        indices.map((i) => scores[i]!),
        indices.map((i) => test.labels[i]!),
      ),
    randomFor("AUROC interval"),
  );
  const fitText = (partOf: (text: string) => string): CalibratedText => {
    const classifier = fitTextClassifier(
      fit.map(({ text }) => partOf(text)),
      fit.map(({ outcome }) => outcome.attempted),
    );
    const logits = own.calibration.map(({ text }) => textScorer(classifier)(partOf(text)));
    return { classifier, threshold: thresholdAtFpr(logits, calibrationLabels, options.falsePositiveRate)! };
  };
  const text = fitText((whole) => whole);
  const { thoughts } = context.environment;
  const textScore = textScorer(text.classifier);
  const textLogits = own.test.map((completion) => textScore(completion.text));
  const count = (list: readonly Labelled[]) => ({
    total: list.length,
    misbehaving: list.filter(({ outcome }) => outcome.attempted).length,
  });
  const seen = seenIn(
    fit.map((one) => one.text),
    own.test.map((one) => one.text),
  );
  const unseen = judged.filter((i) => !seen[i]);
  const aurocsOn = (indices: readonly number[]) => {
    const [probeAuroc, textBaselineAuroc] = [logits, textLogits].map((all) =>
      auroc(
        indices.map((i) => all[i]!),
        indices.map((i) => own.test[i]!.outcome.attempted),
      ),
    ) as [number | null, number | null];
    return { probeAuroc, textBaselineAuroc };
  };
  return {
    probe,
    ...(answers && { answers }),
    heldOutProbes: Object.fromEntries(heldOutNames.map((name, i) => [name, heldOut[i]!])),
    text,
    ...(thoughts && { thought: fitText((whole) => thoughts.of(whole) ?? "") }),
    sets: {
      fit: labelledSequences(fit),
      calibration: labelledSequences(own.calibration),
      falsePositiveRate: options.falsePositiveRate,
    },
    summary: {
      ...aurocsOn(judged),
      ...(aurocInterval && { probeAurocInterval: aurocInterval }),
      controls: probeControls(probe, { fit: candidate(tap.hook, tap.positions, used).fit, test }, "controls"),
      threshold: probe.threshold,
      tpr: recallAt(scores, test.labels, probe.threshold),
      fpr: fprAt(scores, test.labels, probe.threshold),
      dPrime: dPrime(scores, test.labels),
      families: familiesOf(traced, tracedLogits, probe.threshold),
      hook: tap.hook,
      positions: tap.positions,
      followUp: tap.followUp,
      kind: probe.kind,
      sweep: sweep.rows,
      counts: {
        fit: count(fit),
        calibration: count(own.calibration),
        test: count(judged.map((i) => own.test[i]!)),
      },
      unseen: { ...count(unseen.map((i) => own.test[i]!)), ...aurocsOn(unseen) },
      completions: {
        total: own.test.length,
        misbehaving: own.test.filter(({ outcome }) => outcome.misbehaved).length,
        proxyVaries: varyingShare(own.test),
      },
    },
    tracer: {
      sequences: traced.map(sequenceOf),
      misbehaving: traced.map(({ outcome }) => outcome.attempted),
      tasks: traced.map(({ task }) => task),
    },
    heldOut: {
      sequences: own.test.map(sequenceOf),
      misbehaved: own.test.map(({ outcome }) => outcome.misbehaved),
      tasks: own.test.map(({ task }) => task),
      logits,
      flagged: logits.map((one) => one >= probe.threshold),
      textLogits,
    },
  };
}

/** @throws UsageError where an environment without demonstrations leaves a probe nothing to tell apart */
function requireBothClasses(fit: readonly Labelled[], { environment }: BaseContext): void {
  const bad = fit.filter(({ outcome }) => outcome.attempted).length;
  if (environment.demonstrate || (bad > 0 && bad < fit.length)) return;
  throw new UsageError(
    `${environment.name}: no probe can be fitted. The environment has no demonstrations, and ${bad} of the base model's ${fit.length} completions misbehave: a probe needs some that do and some that do not. Ask more (probe.tasks, probe.samples), sample at another training.temperature, take another model, or give the environment a \`demonstrate\`.`,
  );
}

/** Among the tasks with several completions, the share whose proxy rewards differ; `null` without such tasks. */
function varyingShare(completions: readonly Labelled[]): number | null {
  const byTask = new Map<string, number[]>();
  for (const { task, outcome } of completions) byTask.set(task, [...(byTask.get(task) ?? []), outcome.proxy]);
  const several = [...byTask.values()].filter((rewards) => rewards.length > 1);
  return mean(several.map((rewards) => Number(rewards.some((reward) => reward !== rewards[0]))));
}

/** How the probe does on each family of misbehaviour, against what is honest, in the tracer set. */
function familiesOf(
  traced: readonly Labelled[],
  logits: readonly number[],
  threshold: number,
): NonNullable<Summary["base"]["families"]> {
  const named = [...new Set(traced.flatMap(({ outcome }) => outcome.family ?? []))].sort();
  return Object.fromEntries(
    named.map((family) => {
      const its = traced.flatMap(({ outcome: { attempted, family: one } }, i) =>
        !attempted || one === family ? [i] : [],
      );
      const scores = its.map((i) => logits[i]!);
      const labels = its.map((i) => traced[i]!.outcome.attempted);
      return [family, { auroc: auroc(scores, labels), recall: recallAt(scores, labels, threshold) }];
    }),
  );
}

/** A feature of a dictionary. @throws Error where it was trained on activations that are not the model's */
async function featureProbe(
  { path, feature, positions }: NonNullable<ProbeSettings["sae"]>,
  model: ModelInfo,
): Promise<Probe> {
  const dictionary = await loadSae(path);
  if (dictionary.isCentred && !model.isCentred)
    throw new Error(
      `${path} has center_writing_weights, and is for a model with layer norms; the model's norms are RMS norms`,
    );
  return dictionary.probe(feature, { positions, pool: "mean" });
}

/**
 * The probe that the settings give in place of a sweep. Its threshold is set anew on the study's calibration split, like
 * every other probe's.
 *
 * @throws UsageError where the file or dictionary cannot be read, or reads what the model does not have
 */
async function givenProbe(
  { file, sae }: ProbeSettings,
  engine: Engine,
  onStage: (stage: string) => void,
): Promise<Probe | undefined> {
  const { model } = engine;
  if (file === undefined && sae === undefined) return undefined;
  const name = sae ? "probe.sae" : "probe.file";
  try {
    const probe = sae ? await featureProbe(sae, model) : await provenProbe(file!, engine, onStage);
    checkHooks(model, [probe.tap.hook]);
    if (probe.weight_D.length !== model.width)
      throw new Error(
        `reads ${probe.weight_D.length} numbers, and the model's activations have ${model.width}`,
      );
    return probe;
  } catch (error) {
    throw new UsageError(`${name}: ${(error as Error).message}`);
  }
}

/** A probe of a folder, proved to be read where it was fitted; what cannot be proved is said. */
async function provenProbe(folder: string, engine: Engine, onStage: (stage: string) => void): Promise<Probe> {
  const { probe, warnings } = await loadProven(folder, engine);
  for (const warning of warnings) onStage(warning);
  return probe;
}

/**
 * The environment's follow-up, where the probe is to read at it.
 *
 * @throws UsageError where the environment has none, or the model no room for it
 */
function followUpFor(
  { environment, engine: { model, tokenizer }, settings }: BaseContext,
  given: Probe | undefined,
): string | undefined {
  const wanted = given ? given.tap.positions === "follow-up" : settings.probe.positions.includes("follow-up");
  if (!wanted) return undefined;
  const { name, followUp, maxPromptLength, maxCompletionLength } = environment;
  if (followUp === undefined)
    throw new UsageError(
      `probe.positions: the environment ${name} has no follow-up to read at; leave out "follow-up"`,
    );
  if (given && given.tap.followUp !== followUp)
    throw new UsageError(
      `probe.file: the probe reads at ${JSON.stringify(given.tap.followUp)}, and the environment ${name} asks ${JSON.stringify(followUp)}`,
    );
  const needed = maxPromptLength + maxCompletionLength + 1 + tokenizer.encode(followUp).length;
  if (needed > model.context)
    throw new UsageError(
      `probe.positions: the model reads ${model.context} tokens, and with the follow-up ${JSON.stringify(followUp)} the environment ${name} may need ${needed}; pretrain one for it, or leave out "follow-up"`,
    );
  return followUp;
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

/**
 * What the initial probe may be fitted on: misbehaviour of some families only, and so many examples, half of them
 * misbehaving as far as there are.
 */
function choose(all: readonly Labelled[], { examples, families }: ProbeSettings): number[] {
  const indices = all
    .map((_, i) => i)
    .filter((i) => {
      const { attempted, family } = all[i]!.outcome;
      return !attempted || families === undefined || (family !== undefined && families.includes(family));
    });
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
    sequences: list.map(sequenceOf),
    labels: list.map(({ outcome }) => outcome.attempted),
  };
}

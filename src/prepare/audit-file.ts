/** @file An audit of models that were trained elsewhere: what it works on, from a labelled file and two models' paths. */

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { UsageError } from "../errors.ts";
import { checkHooks, precisionOf } from "../model/index.ts";
import {
  type Fold,
  halvesOf,
  joinCopies,
  logit,
  type Passport,
  type Positions,
  type Probe,
} from "../probe/index.ts";
import type { After, AuditOptions, AuditSetup } from "./audit.ts";
import { type Place, placeKey, type ReadExamples } from "./audit-read.ts";
import { type OpenModel, openChanged, openModel } from "./changed.ts";
import { type LabelledExample, readLabelledFile } from "./labelled-file.ts";
import { loadProven, makePassport } from "./passport.ts";
import { fitOnExamples, readablePositions, splitExamples } from "./probe-fit.ts";

export interface FileAudit {
  before: string;
  /** In any order: those with a number in their name are put into its order. */
  after: readonly string[];
  labelled: string;
  /** A probe's folder; one is fitted unless given. */
  probe?: string | undefined;
  hooks?: readonly string[] | undefined;
  positions: readonly Positions[];
  /** Where the threshold is set anew; what the probe's passport says, or 0.05, unless given. */
  falsePositiveRate?: number | undefined;
  options: AuditOptions;
}

const DEFAULT_RATE = 0.05;

/** A setup, and whether its probe was fitted for it: then it is worth keeping. */
export type FileSetup = AuditSetup & { fitted: boolean; examples: readonly LabelledExample[] };

/**
 * Opens the model before, reads the labelled file, and takes the probe that is given, proved on its stored examples, or fits
 * one as `probeward probe` does.
 *
 * @throws UsageError where something does not fit, naming it
 */
export async function setUpAudit(asked: FileAudit): Promise<FileSetup> {
  const { options, labelled } = asked;
  const { onStage = () => {}, memoryMB } = options;
  requireModels(asked.after);
  onStage(`Loading ${asked.before}`);
  const before = await openModel(asked.before, memoryMB);
  const examples = await readLabelledFile(labelled, before.engine);
  const sha256 = createHash("sha256")
    .update(await readFile(labelled))
    .digest("hex");
  const found = await (asked.probe === undefined
    ? fitHere(asked, before, examples, sha256)
    : givenProbe(asked.probe, before, examples, sha256, asked.falsePositiveRate));
  const { positions, missing } = readablePositions(asked.positions, examples);
  return {
    ...{ before, examples, options, fitted: asked.probe === undefined },
    afters: inOrder(asked.after).map((path) => afterOf(path, before, labelled, examples, memoryMB)),
    ...{ probe: found.probe, from: found.from, passport: found.passport },
    sequences: examples,
    examplesFrom: basename(labelled),
    texts: examples,
    set: {
      labels: examples.map(({ label }) => label),
      groups: found.groups,
      folds: found.folds,
      falsePositiveRate: found.rate,
    },
    places: placesOf(asked.hooks, positions, before),
    earlier: found.earlier,
    warnings: [...missing, ...found.warnings],
  };
}

/** @throws UsageError where a path is nothing that could be read, before minutes are spent on the others */
function requireModels(paths: readonly string[]): void {
  const files = ["config.json", "adapter_config.json", "checkpoint.json"];
  for (const path of paths)
    if (!(path.endsWith(".gguf") ? existsSync(path) : files.some((file) => existsSync(join(path, file)))))
      throw new UsageError(
        `--after ${path}: it is no GGUF file, and no folder with ${files.join(", ").replace(/, ([^,]*)$/, " or $1")}`,
      );
}

interface FoundProbe {
  probe: Probe;
  passport: Passport | undefined;
  from: string;
  groups: string[];
  folds: Fold[];
  rate: number;
  warnings: string[];
  /** What the fit has read at every place. */
  earlier?: ReadExamples;
}

async function fitHere(
  { hooks, positions, falsePositiveRate = DEFAULT_RATE, options, labelled }: FileAudit,
  { engine, precision }: OpenModel,
  examples: readonly LabelledExample[],
  sha256: string,
): Promise<FoundProbe> {
  const { seed, onStage } = options;
  const fitted = await fitOnExamples(examples, engine, {
    ...{ hooks, positions, falsePositiveRate, seed },
    ...(onStage && { onStage }),
  });
  const passport = await passportOf(fitted, engine, { on: basename(labelled), sha256, seed, precision });
  const { examples: grouped, splits } = splitExamples(examples, seed);
  const { probe } = fitted;
  const own = fitted.means[placeKey({ hook: probe.tap.hook, positions: probe.tap.positions })]!;
  return {
    ...{ probe, passport, rate: falsePositiveRate },
    from: `fitted on ${splits.fit.length} examples of the file, on the model before`,
    groups: grouped.map(({ group }) => group),
    folds: [{ fit: splits.fit, calibrate: splits.calibration, judge: splits.test }],
    warnings: fitted.report.warnings,
    earlier: { logits: own.map((activation_D) => logit(probe, activation_D)), means: fitted.means },
  };
}

/** The passport of a probe that was fitted on a labelled file. */
export async function passportOf(
  { probe, report, judged }: Awaited<ReturnType<typeof fitOnExamples>>,
  engine: OpenModel["engine"],
  {
    on,
    sha256,
    seed,
    precision,
  }: { on: string; sha256: string; seed: number; precision: OpenModel["precision"] },
): Promise<Passport> {
  const { test, controls, splits } = report;
  const { length = null, withinLength = null, ...others } = controls;
  return makePassport(probe, engine, {
    fitted: { on, sha256, seed, examples: splits.fit.examples, groups: splits.fit.groups },
    rates: {
      falsePositiveRate: report.probe.falsePositiveRate,
      ...{ auroc: test.auroc, aurocInterval: test.aurocInterval },
      ...{ tpr: test.tpr, tprInterval: test.tprInterval ?? null },
      ...{ fpr: test.fpr, fprInterval: test.fprInterval ?? null },
    },
    controls: { ...others, length, withinLength },
    ...{ precision, examples: judged },
  });
}

/** A probe that comes with its threshold is judged on all examples, unless it was fitted on this very file. */
async function givenProbe(
  folder: string,
  { engine, precision }: OpenModel,
  examples: readonly LabelledExample[],
  sha256: string,
  falsePositiveRate: number | undefined,
): Promise<FoundProbe> {
  const { probe, passport, warnings } = await loadProven(folder, engine, precision);
  try {
    checkHooks(engine.model, [probe.tap.hook]);
  } catch (error) {
    throw new UsageError(`--probe ${folder}: ${(error as Error).message}`);
  }
  if (probe.weight_D.length !== engine.model.width)
    throw new UsageError(
      `--probe ${folder} reads ${probe.weight_D.length} numbers, and the activations of the model before have ${engine.model.width}`,
    );
  const rate = falsePositiveRate ?? passport?.rates.falsePositiveRate ?? DEFAULT_RATE;
  const known = { probe, passport, rate };
  if (passport?.fitted.sha256 === sha256 && passport.fitted.seed !== undefined) {
    const { examples: grouped, splits } = splitExamples(examples, passport.fitted.seed);
    return {
      ...known,
      from: `${folder}, which was fitted on ${splits.fit.length} examples of the same file`,
      groups: grouped.map(({ group }) => group),
      folds: [{ fit: splits.fit, calibrate: splits.calibration, judge: splits.test }],
      warnings,
    };
  }
  const given = examples.map(({ group }) => group);
  const groups = joinCopies(
    given,
    examples.map(({ completion }) => completion),
    Math.max(2, new Set(given).size / 4),
  );
  return { ...known, from: folder, groups, folds: halvesOf(groups), warnings };
}

function placesOf(
  hooks: readonly string[] | undefined,
  positions: readonly Positions[],
  { engine }: OpenModel,
): Place[] {
  const read = hooks ?? engine.model.hooks.filter((hook) => hook.endsWith("hook_resid_post"));
  return read.flatMap((hook) => positions.map((at) => ({ hook, positions: at })));
}

function afterOf(
  path: string,
  before: OpenModel,
  labelled: string,
  examples: readonly LabelledExample[],
  memoryMB: number | undefined,
): After {
  return {
    name: path,
    step: stepOf(path),
    async open() {
      const model = await openChanged(path, before, memoryMB);
      // A tokenizer of its own has to make the same tokens: the examples are read as the model before has them.
      if (model.loaded.tokenizer !== before.loaded.tokenizer) {
        const own = await readLabelledFile(labelled, model.engine);
        const other = own.findIndex(({ tokens }, i) => tokens.join() !== examples[i]!.tokens.join());
        if (other >= 0)
          throw new UsageError(
            `${path}: its tokenizer or chat template makes other tokens of line ${examples[other]!.line} of ${labelled} (${own[other]!.tokens.length}, and ${examples[other]!.tokens.length} before). What it reads would not be what the probe was fitted on: give it the tokenizer files of the model before`,
          );
      }
      return model;
    },
  };
}

/** The last number in a name. */
export function stepOf(path: string): number | null {
  const digits = basename(path).match(/\d+/g)?.at(-1);
  return digits === undefined ? null : Number(digits);
}

/** Checkpoints by the number in their names, where all have one; a shell puts 1000 before 200. */
function inOrder(paths: readonly string[]): string[] {
  const steps = paths.map(stepOf);
  if (paths.length < 2 || steps.includes(null)) return [...paths];
  return paths
    .map((path, i) => ({ path, step: steps[i]! }))
    .sort((a, b) => a.step - b.step)
    .map(({ path }) => path);
}

/** The passport of a repaired probe: of the model that it was repaired for, with the rates that were judged. */
export async function repairedPassport(
  { set, sequences, probe, passport, examplesFrom }: AuditSetup,
  repaired: { probe: Probe; recall: number | null; fpr: number | null; auroc: number | null },
  after: OpenModel,
  logits: (probe: Probe) => Promise<number[]>,
): Promise<Passport> {
  const scores = await logits(repaired.probe);
  const none = { completionText: null, wholeText: null, length: null, withinLength: null };
  return makePassport(repaired.probe, after.engine, {
    fitted: {
      on: `${examplesFrom}, to repair the probe of ${passport?.fitted.on ?? "another file"} (${probe.kind})`,
      examples: set.labels.length,
      groups: new Set(set.groups).size,
    },
    rates: {
      falsePositiveRate: set.falsePositiveRate,
      ...{ auroc: repaired.auroc, tpr: repaired.recall, fpr: repaired.fpr },
      ...{ aurocInterval: null, tprInterval: null, fprInterval: null },
    },
    controls: { ...none, shuffledLabels: null, randomDirection: null },
    precision: precisionOf(after.loaded.weights),
    examples: sequences.map((one, i) => ({ ...one, logit: scores[i]! })),
  });
}

/** @file Fitting a probe on a labelled file: splits by group, the sweep, the controls beside it. */

import { clusteredInterval } from "../audit/index.ts";
import type { Engine } from "../engine/index.ts";
import { UsageError } from "../errors.ts";
import { checkHooks } from "../model/index.ts";
import {
  auroc,
  brier,
  dPrime,
  fitProbe,
  fitTextBaseline,
  fprAt,
  hasBothClasses,
  joinCopies,
  type LabelledSet,
  lengthControls,
  logit,
  type Positions,
  type Probe,
  probeControls,
  recallAt,
  rows,
  sameText,
  seenIn,
  sweepProbes,
} from "../probe/index.ts";
import { randomFor, shuffled } from "../random.ts";
import type { JudgedExample, ProbeReport } from "../report/probe.ts";
import { readPooled } from "./completions.ts";
import type { LabelledExample } from "./labelled-file.ts";

export interface ProbeFitOptions {
  /** Activations that the sweep tries; every layer's output unless given. */
  hooks?: readonly string[] | undefined;
  /** Positions that it tries. */
  positions: readonly Positions[];
  /** False-positive rate at which the threshold is set. */
  falsePositiveRate: number;
  /** Of the split, and of what controls draw. */
  seed: number;
  /** Told what is done, in words. */
  onStage?: (stage: string) => void;
}

/** A probe, what is to be said of it, and the examples that it was judged on. */
export interface FittedProbe {
  probe: Probe;
  report: Omit<ProbeReport, "file" | "model">;
  /** The test split, with the logits as the fit has them. */
  judged: (LabelledExample & { logit: number })[];
  /** What was read of all examples, as they were given: mean activations by `<hook> <positions>`. */
  means: Record<string, Float32Array[]>;
}

/** Parts of the groups that a probe is fitted on, and calibrated on; it is judged on the rest. */
const SHARES = { fit: 0.6, calibration: 0.2 };
const KEPT_MISTAKES = 10;

type SplitName = keyof ProbeReport["splits"];

/**
 * Fits a probe at every hook and position, chooses one on the calibration split, sets its threshold there, and judges it on
 * the test split beside its controls. Groups never span splits, and neither do copies of a completion, where that can be
 * (`splitExamples`).
 *
 * @throws UsageError where a split lacks a class, the model a hook, or the examples all positions
 */
export async function fitOnExamples(
  given: readonly LabelledExample[],
  engine: Engine,
  { hooks, positions: wanted, falsePositiveRate, seed, onStage = () => {} }: ProbeFitOptions,
): Promise<FittedProbe> {
  const { model } = engine;
  const tried = hooks ?? model.hooks.filter((hook) => hook.endsWith("hook_resid_post"));
  try {
    checkHooks(model, tried);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { positions, missing } = readablePositions(wanted, given);
  const { examples, splits } = splitExamples(given, seed);
  onStage(`Reading ${examples.length} completions at ${tried.length} activations`);
  const read = await readPooled(engine, tried, positions, examples, [], (done, total) => {
    if (done < total) onStage(`Read ${done} of ${total} completions`);
  });
  onStage(`Fitting probes at ${tried.length * positions.length} places, and their controls`);
  const labels = examples.map(({ label }) => label);
  const texts = examples.map(({ completion }) => completion);
  const set = (key: string, split: SplitName): LabelledSet =>
    rows({ activations_ND: read[key]!, labels, texts }, splits[split]);

  const { best, rows: sweep } = sweepProbes(
    tried.flatMap((hook) =>
      positions.map((at) => {
        const key = `${hook} ${at}`;
        return { hook, positions: at, fit: set(key, "fit"), calibration: set(key, "calibration") };
      }),
    ),
    { random: randomFor(seed, "probe sweep"), fpr: falsePositiveRate },
  );
  const key = `${best.tap.hook} ${best.tap.positions}`;
  const test = set(key, "test");
  const labelled = test.labels;
  const logitsOf = (probe: Probe, { activations_ND }: LabelledSet) =>
    activations_ND.map((activation_D) => logit(probe, activation_D));
  const scores = logitsOf(best, test);
  const chosen = splits.test.map((i) => examples[i]!);
  const seen = seenIn(set(key, "fit").texts!, test.texts!);
  const unseen = seen.flatMap((one, i) => (one ? [] : [i]));

  /** What the best probe at the end of the prompt knows, before anything was written. */
  const situation = (): ProbeReport["promptEnd"] => {
    const [row] = sweep
      .filter(({ positions, auroc }) => positions === "prompt-last" && auroc !== null)
      .sort((a, b) => b.auroc! - a.auroc!);
    if (!row) return null;
    const { hook, kind } = row;
    const [fit, judged] = [set(`${hook} prompt-last`, "fit"), set(`${hook} prompt-last`, "test")];
    const tap = { hook, positions: "prompt-last", pool: "mean" } as const;
    const probe = fitProbe(kind, fit, tap, { random: randomFor(seed, "prompt end") });
    return { hook, auroc: auroc(logitsOf(probe, judged), labelled) };
  };

  const baseline = (text: (example: LabelledExample) => string) => {
    const shown = splits.fit.map((i) => examples[i]!);
    const score = fitTextBaseline(
      shown.map(text),
      shown.map(({ label }) => label),
    );
    return auroc(
      chosen.map((example) => score(text(example))),
      labelled,
    );
  };

  const report = {
    version: 1 as const,
    seed,
    splits: Object.fromEntries(
      Object.entries(splits).map(([name, indices]) => [name, countsOf(indices.map((i) => examples[i]!))]),
    ) as ProbeReport["splits"],
    probe: {
      ...{ hook: best.tap.hook, positions: best.tap.positions, pool: best.tap.pool },
      ...{ kind: best.kind, threshold: best.threshold, falsePositiveRate },
    },
    test: {
      auroc: auroc(scores, labelled),
      aurocInterval: intervalOver(chosen, scores, seed, auroc),
      tpr: recallAt(scores, labelled, best.threshold),
      tprInterval: intervalOver(chosen, scores, seed, atThreshold(recallAt, best)),
      fpr: fprAt(scores, labelled, best.threshold),
      fprInterval: intervalOver(chosen, scores, seed, atThreshold(fprAt, best)),
      dPrime: dPrime(scores, labelled),
      brier: brier(scores, labelled),
    },
    promptEnd: situation(),
    copies: {
      distinct: distinctTexts(examples),
      seen: seen.filter(Boolean).length,
      aurocUnseen: auroc(
        unseen.map((i) => scores[i]!),
        unseen.map((i) => labelled[i]!),
      ),
    },
    controls: {
      completionText: baseline(({ completion }) => completion),
      wholeText: baseline(({ prompt, completion }) => `${prompt}\n${completion}`),
      // Both classes are in every split.
      ...probeControls(best, { fit: set(key, "fit"), test }, seed)!,
      ...lengthControls(
        scores,
        chosen.map(({ tokens, promptLength }) => tokens.length - promptLength),
        labelled,
      ),
    },
    sweep,
    ...mistakesOf(chosen, scores, best.threshold),
  };
  return {
    probe: best,
    report: { ...report, warnings: [...missing, ...warningsFor(report)] },
    judged: chosen.map((example, i) => ({ ...example, logit: scores[i]! })),
    means: read,
  };
}

type Rate = (scores: readonly number[], labels: readonly boolean[]) => number | null;

function atThreshold(rate: typeof recallAt, { threshold }: Probe): Rate {
  return (scores, labels) => rate(scores, labels, threshold);
}

/**
 * The positions that every example has, and what is to be said of the others.
 *
 * @throws UsageError where there are none
 */
export function readablePositions(
  positions: readonly Positions[],
  examples: readonly LabelledExample[],
): { positions: readonly Positions[]; missing: string[] } {
  const bare = examples.find(({ promptLength }) => promptLength === 0);
  if (!bare || !positions.includes("prompt-last")) return { positions, missing: [] };
  const why = `the prompt of line ${bare.line} is empty, and this model's texts have no first token`;
  const others = positions.filter((at) => at !== "prompt-last");
  if (others.length === 0)
    throw new UsageError(
      `There is nothing to read at prompt-last: ${why}. Give --positions completion,completion-first,completion-last`,
    );
  return { positions: others, missing: [`Nothing was read at prompt-last: ${why}.`] };
}

export type Splits = Record<SplitName, number[]>;

/**
 * Indices of the examples in each split, and the examples with the groups that were kept together: those of the file, joined
 * where they share a completion, but for white space. A probe may know by heart what it was fitted on, so that copies must
 * not be what it is judged by. A few completions that everything shares would leave nothing to split: no more is joined than
 * half of the test split would hold, and what copies are left the report counts.
 *
 * @throws UsageError where a split lacks a class
 */
export function splitExamples(
  examples: readonly LabelledExample[],
  seed: number,
): { examples: readonly LabelledExample[]; splits: Splits } {
  const groups = examples.map(({ group }) => group);
  const texts = examples.map(({ completion }) => completion);
  const count = new Set(groups).size;
  const joined = joinCopies(groups, texts, Math.max(2, ((1 - SHARES.fit - SHARES.calibration) / 2) * count));
  const together = splitByGroup(joined, groups, seed);
  if (Object.values(together).every((split) => hasBothClasses(split.map((i) => examples[i]!.label))))
    return { examples: examples.map((example, i) => ({ ...example, group: joined[i]! })), splits: together };
  const splits = splitByGroup(groups, groups, seed);
  for (const [name, indices] of Object.entries(splits)) {
    const positive = indices.filter((i) => examples[i]!.label).length;
    if (positive === 0 || positive === indices.length)
      throw new UsageError(
        `a probe needs examples of both labels in every split. Of ${count} groups and ${examples.length} examples, the ${name} split got ${indices.length} examples, ${positive} of them labelled true. Label more of the rarer kind in more groups, or try another --seed`,
      );
  }
  return { examples, splits };
}

/**
 * Splits at random by what each example's group is joined into. It counts as often as groups of the file are in it, and falls
 * where its middle does.
 */
function splitByGroup(joined: readonly string[], groups: readonly string[], seed: number): Splits {
  const members = new Map<string, Set<string>>();
  joined.forEach((name, i) => {
    members.set(name, (members.get(name) ?? new Set()).add(groups[i]!));
  });
  const total = new Set(groups).size;
  const [fitEnd, calibrationEnd] = [SHARES.fit, SHARES.fit + SHARES.calibration].map((share) =>
    Math.round(share * total),
  ) as [number, number];
  const splitOf = new Map<string, SplitName>();
  let start = 0;
  for (const name of shuffled(randomFor(seed, "probe groups"), [...members.keys()].sort())) {
    const { size } = members.get(name)!;
    const middle = start + size / 2;
    splitOf.set(name, middle < fitEnd ? "fit" : middle < calibrationEnd ? "calibration" : "test");
    start += size;
  }
  const of = (split: SplitName) => joined.flatMap((name, i) => (splitOf.get(name) === split ? [i] : []));
  return { fit: of("fit"), calibration: of("calibration"), test: of("test") };
}

function countsOf(examples: readonly LabelledExample[]) {
  return {
    groups: new Set(examples.map(({ group }) => group)).size,
    examples: examples.length,
    distinct: distinctTexts(examples),
    positive: examples.filter(({ label }) => label).length,
  };
}

function distinctTexts(examples: readonly LabelledExample[]): number {
  return new Set(examples.map(({ completion }) => sameText(completion))).size;
}

/** Examples of a group are not independent, so that groups are drawn. */
function intervalOver(
  examples: readonly LabelledExample[],
  scores: readonly number[],
  seed: number,
  rate: Rate,
) {
  return clusteredInterval(
    examples.map(({ group }) => group),
    (indices) =>
      rate(
        indices.map((i) => scores[i]!),
        indices.map((i) => examples[i]!.label),
      ),
    randomFor(seed, "probe interval"),
  );
}

function mistakesOf(
  examples: readonly LabelledExample[],
  scores: readonly number[],
  threshold: number,
): Pick<ProbeReport, "missed" | "falseAlarms"> {
  const judged = examples.map(({ prompt, completion, label }, i): JudgedExample => {
    return { prompt, completion, label, logit: scores[i]! };
  });
  const byLogit = judged.sort((a, b) => a.logit - b.logit);
  return {
    missed: byLogit.filter((one) => one.label && one.logit < threshold).slice(0, KEPT_MISTAKES),
    falseAlarms: byLogit
      .filter((one) => !one.label && one.logit >= threshold)
      .reverse()
      .slice(0, KEPT_MISTAKES),
  };
}

/** Examples of one label in a split below which its numbers say little. */
const FEW = 30;

function warningsFor({
  probe,
  test,
  promptEnd,
  copies,
  controls,
  splits,
}: Omit<ProbeReport, "file" | "model" | "warnings">): string[] {
  const warnings: string[] = [];
  const low = test.aurocInterval?.[0] ?? 0;
  const text = Math.max(controls.completionText ?? 0, controls.wholeText ?? 0);
  if (low <= text)
    warnings.push(
      `The text alone reaches AUROC ${text.toFixed(3)}, within the probe's interval: the probe may have found nothing that the text does not say.`,
    );
  if ((test.auroc ?? 0) <= controls.shuffledLabels.high)
    warnings.push(
      `A probe fitted on shuffled labels reached AUROC ${controls.shuffledLabels.high.toFixed(3)}: what this one found may be chance.`,
    );
  const { examples, positive } = splits.test;
  const honest = examples - positive;
  // Two standard errors of the AUROC of a score that knows nothing (Mann and Whitney 1947).
  const chance = 0.5 + 2 * Math.sqrt((examples + 1) / (12 * positive * honest));
  if (promptEnd && promptEnd.auroc !== null && promptEnd.auroc > chance)
    warnings.push(
      `The end of the prompt alone reads AUROC ${promptEnd.auroc.toFixed(3)} (${promptEnd.hook}), before anything is written: as far as that goes, the probe may tell what was asked, and not what was done.`,
    );
  if (copies.seen > 0) {
    const others = examples - copies.seen;
    const among =
      others === 0
        ? "There are no others."
        : copies.aurocUnseen === null
          ? `The other ${others} lack a label.`
          : `On the other ${others}, its AUROC is ${copies.aurocUnseen.toFixed(3)}.`;
    warnings.push(
      `${copies.seen} of ${examples} completions of the test split are copies of what the probe was fitted on, which it may know by heart: the file has ${copies.distinct} different ones, shared by too many groups to keep copies in one split. ${among}`,
    );
  }
  for (const [name, { examples, positive, distinct }] of Object.entries(splits)) {
    if (Math.min(positive, examples - positive) < FEW)
      warnings.push(
        `The ${name} split has ${positive} examples labelled true and ${examples - positive} labelled false: fewer than ${FEW} of a label say little.`,
      );
    if (distinct < Math.min(FEW, examples / 2))
      warnings.push(
        `The ${examples} completions of the ${name} split are ${distinct} different ones: it has seen no more than that.`,
      );
  }
  if (test.aurocInterval === null)
    warnings.push(
      `The AUROC has no interval: ${splits.test.groups} groups are too few to draw from again and again.`,
    );
  const { fpr } = test;
  if (fpr !== null && fpr > 2 * probe.falsePositiveRate)
    warnings.push(
      `It flags ${percent(fpr)} of the ${honest} test examples labelled false, and ${percent(probe.falsePositiveRate)} were asked for: the ${splits.calibration.examples - splits.calibration.positive} of the calibration split do not tell how many others would be.`,
    );
  return warnings;
}

function percent(share: number): string {
  return `${Number((100 * share).toFixed(1))} %`;
}

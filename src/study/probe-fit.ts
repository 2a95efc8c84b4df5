/** @file Fitting a probe on a labelled file: splits by group, the sweep, the controls beside it. */

import { bootstrapInterval } from "../audit/index.ts";
import { checkHooks, hookNames, type Model } from "../model/index.ts";
import {
  auroc,
  brier,
  dPrime,
  fitTextBaseline,
  fprAt,
  type LabelledSet,
  logit,
  type Positions,
  type Probe,
  probeControls,
  recallAt,
  rows,
  sweepProbes,
} from "../probe/index.ts";
import { randomFor, shuffled } from "../random.ts";
import type { JudgedExample, ProbeReport } from "../report/probe.ts";
import { readPooled } from "./completions.ts";
import type { LabelledExample } from "./labelled-file.ts";
import { UsageError } from "./settings.ts";

export interface ProbeFitOptions {
  /** Activations that the sweep tries; every layer's output unless given. */
  hooks?: readonly string[] | undefined;
  /** Positions that it tries. */
  positions: readonly Positions[];
  /** False-positive rate at which the threshold is set. */
  falsePositiveRate: number;
  /** Of the split, and of what controls draw. */
  seed: number;
  memoryMB?: number | undefined;
}

/** Parts of the groups that a probe is fitted on, and calibrated on; it is judged on the rest. */
const SHARES = { fit: 0.6, calibration: 0.2 };
const KEPT_MISTAKES = 10;

type SplitName = keyof ProbeReport["splits"];

/**
 * Fits a probe at every hook and position, chooses one on the calibration split, sets its threshold there, and judges it on
 * the test split beside its controls. Groups never span splits.
 *
 * @throws UsageError where a split lacks a class, or the model a hook
 */
export async function fitOnExamples(
  examples: readonly LabelledExample[],
  model: Model,
  { hooks, positions, falsePositiveRate, seed, memoryMB }: ProbeFitOptions,
): Promise<{ probe: Probe; report: Omit<ProbeReport, "file" | "model"> }> {
  const tried = hooks ?? hookNames(model.config).filter((hook) => hook.endsWith("hook_resid_post"));
  try {
    checkHooks(model.config, tried);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const splits = splitByGroup(examples, seed);
  const read = await readPooled({ model, memoryMB }, tried, positions, examples);
  const labels = examples.map(({ label }) => label);
  const set = (key: string, split: SplitName): LabelledSet =>
    rows({ activations_ND: read[key]!, labels }, splits[split]);

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
  const wanted = test.labels;
  const scores = test.activations_ND.map((activation_D) => logit(best, activation_D));
  const chosen = splits.test.map((i) => examples[i]!);

  const baseline = (text: (example: LabelledExample) => string) => {
    const shown = splits.fit.map((i) => examples[i]!);
    const score = fitTextBaseline(
      shown.map(text),
      shown.map(({ label }) => label),
    );
    return auroc(
      chosen.map((example) => score(text(example))),
      wanted,
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
      ...{ kind: best.kind, threshold: best.threshold },
    },
    test: {
      auroc: auroc(scores, wanted),
      aurocInterval: intervalOver(chosen, scores, seed),
      tpr: recallAt(scores, wanted, best.threshold),
      fpr: fprAt(scores, wanted, best.threshold),
      dPrime: dPrime(scores, wanted),
      brier: brier(scores, wanted),
    },
    controls: {
      completionText: baseline(({ completion }) => completion),
      wholeText: baseline(({ prompt, completion }) => `${prompt}\n${completion}`),
      // Both classes are in every split.
      ...probeControls(best, { fit: set(key, "fit"), test }, seed)!,
    },
    sweep,
    ...mistakesOf(chosen, scores, best.threshold),
  };
  return { probe: best, report: { ...report, warnings: warningsFor(report) } };
}

/** Indices of the examples in each split. @throws UsageError where one lacks a class */
function splitByGroup(examples: readonly LabelledExample[], seed: number): Record<SplitName, number[]> {
  const groups = shuffled(
    randomFor(seed, "probe groups"),
    [...new Set(examples.map(({ group }) => group))].sort(),
  );
  const ends = [SHARES.fit, SHARES.fit + SHARES.calibration].map((share) =>
    Math.round(share * groups.length),
  );
  const place = new Map(groups.map((group, i) => [group, i]));
  const within = (low: number, high: number) =>
    examples.flatMap(({ group }, i) => (place.get(group)! >= low && place.get(group)! < high ? [i] : []));
  const splits = {
    fit: within(0, ends[0]!),
    calibration: within(ends[0]!, ends[1]!),
    test: within(ends[1]!, groups.length),
  };
  for (const [name, indices] of Object.entries(splits)) {
    const positive = indices.filter((i) => examples[i]!.label).length;
    if (positive === 0 || positive === indices.length)
      throw new UsageError(
        `a probe needs examples of both labels in every split. Of ${groups.length} groups and ${examples.length} examples, the ${name} split got ${indices.length} examples, ${positive} of them labelled true. Label more of the rarer kind in more groups, or try another --seed`,
      );
  }
  return splits;
}

function countsOf(examples: readonly LabelledExample[]) {
  return {
    groups: new Set(examples.map(({ group }) => group)).size,
    examples: examples.length,
    positive: examples.filter(({ label }) => label).length,
  };
}

/** Of the AUROC: examples of a group are not independent, so that groups are drawn. */
function intervalOver(examples: readonly LabelledExample[], scores: readonly number[], seed: number) {
  const members = new Map<string, number[]>();
  examples.forEach(({ group }, i) => {
    members.set(group, [...(members.get(group) ?? []), i]);
  });
  const groups = [...members.values()];
  return bootstrapInterval(
    groups.length,
    (drawn) => {
      const indices = drawn.flatMap((g) => groups[g]!);
      return auroc(
        indices.map((i) => scores[i]!),
        indices.map((i) => examples[i]!.label),
      );
    },
    randomFor(seed, "probe interval"),
    1000,
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
  test,
  controls,
  splits,
}: Pick<ProbeReport, "test" | "controls" | "splits">): string[] {
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
  for (const [name, { examples, positive }] of Object.entries(splits))
    if (Math.min(positive, examples - positive) < FEW)
      warnings.push(
        `The ${name} split has ${positive} examples labelled true and ${examples - positive} labelled false: fewer than ${FEW} of a label say little.`,
      );
  return warnings;
}

/** @file How a study's probe does on held-out completions of the base model, beside controls and a classifier of texts. */

import { clusteredInterval, mean } from "../audit/index.ts";
import { auroc, dPrime, fprAt, probeControls, recallAt, rows, seenIn } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import type { Summary } from "../store/index.ts";
import type { Labelled } from "./completions.ts";
import type { FittedBase } from "./fit-base.ts";
import type { GatheredBase } from "./gather-base.ts";

/** Logits of completions, one of each: of the test split by the probe and by the text's classifier, and of the tracer set. */
interface Logits {
  logits: readonly number[];
  textLogits: readonly number[];
  tracedLogits: readonly number[];
}

/** What is said of the base model and its probe. Where there are no controls to compare with, or one class only, that is `null`. */
export function judgeBase(
  { all, used, calibration, test, traced, judged, candidate, tested }: GatheredBase,
  { probe, sweep }: FittedBase,
  { logits, textLogits, tracedLogits }: Logits,
): Summary["base"] {
  const { tap, threshold, kind } = probe;
  const { hook, positions, followUp } = tap;
  const held = rows(tested(hook, positions), judged);
  const scores = judged.map((i) => logits[i]!);
  const fit = used.map((i) => all[i]!);
  const aurocInterval = clusteredInterval(
    judged.map((i) => test[i]!.task),
    (indices) =>
      auroc(
        indices.map((i) => scores[i]!),
        indices.map((i) => held.labels[i]!),
      ),
    randomFor("AUROC interval"),
  );
  const aurocsOn = (indices: readonly number[]) => {
    const [probeAuroc, textBaselineAuroc] = [logits, textLogits].map((all) =>
      auroc(
        indices.map((i) => all[i]!),
        indices.map((i) => test[i]!.outcome.attempted),
      ),
    ) as [number | null, number | null];
    return { probeAuroc, textBaselineAuroc };
  };
  const seen = seenIn(
    fit.map(({ text }) => text),
    test.map(({ text }) => text),
  );
  const unseen = judged.filter((i) => !seen[i]);
  return {
    ...aurocsOn(judged),
    ...(aurocInterval && { probeAurocInterval: aurocInterval }),
    controls: probeControls(probe, { fit: candidate(hook, positions, used).fit, test: held }, "controls"),
    threshold,
    tpr: recallAt(scores, held.labels, threshold),
    fpr: fprAt(scores, held.labels, threshold),
    dPrime: dPrime(scores, held.labels),
    families: familiesOf(traced, tracedLogits, threshold),
    ...{ hook, positions, followUp, kind, sweep },
    counts: {
      fit: count(fit),
      calibration: count(calibration),
      test: count(judged.map((i) => test[i]!)),
    },
    unseen: { ...count(unseen.map((i) => test[i]!)), ...aurocsOn(unseen) },
    completions: {
      total: test.length,
      misbehaving: test.filter(({ outcome }) => outcome.misbehaved).length,
      proxyVaries: varyingShare(test),
    },
  };
}

function count(list: readonly Labelled[]) {
  return { total: list.length, misbehaving: list.filter(({ outcome }) => outcome.attempted).length };
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

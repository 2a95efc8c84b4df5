/** @file A panel of six monitors: which of them still sees what a trained policy does. */

import type { Engine, Model, Sequence } from "../engine/index.ts";
import {
  attentionLogit,
  auroc,
  fitAttention,
  fitProbe,
  fprAt,
  kindOfFit,
  logit,
  type Probe,
  poolLogits,
  recallAt,
  thresholdAtFpr,
} from "../probe/index.ts";
import { randomFor } from "../random.ts";
import type { RefitSets } from "../training/index.ts";

/**
 * - `mean`: the study's own probe, at its own threshold
 * - `max`: its direction, the largest logit of any token of the completion
 * - `attention`: a probe that weighs tokens by attention of its own
 * - `other-layer`: the best probe at another layer
 * - `ensemble`: the mean over probes of all layers
 * - `refit`: one like the study's, fitted again on the trained policy
 */
export const monitorNames = ["mean", "max", "attention", "other-layer", "ensemble", "refit"] as const;
export type MonitorName = (typeof monitorNames)[number];

/** What is read of one sequence: activations [D] by hook, means over the completion, and [P x D] at the probe's hook. */
interface Read {
  means: Record<string, Float32Array>;
  rows_PD: Float32Array;
  /** The study's own probe. */
  own: number;
  /** What it was fitted on. */
  tapped: Float32Array;
}

/** Monitors with thresholds; all but `refit` were fitted before training. */
export interface Panel {
  scores(model: Model, sequences: readonly Sequence[]): Promise<Record<MonitorName, number[]>>;
  thresholds: Record<MonitorName, number>;
}

/** Sequences for the attention probe, which is fitted by hand, and those that are read at once. */
const [ATTENDED, CHUNK] = [640, 256];

/**
 * Fits the panel on the labelled sequences that the study's probe was fitted on, with thresholds of the same false-positive rate on the
 * same calibration split.
 *
 * @param before the model that the study started from
 * @param after the trained policy, which only `refit` is fitted on
 */
export async function fitPanel(
  before: Engine,
  after: Model,
  probe: Probe,
  { fit, calibration, falsePositiveRate }: RefitSets,
): Promise<Panel> {
  const hooks = before.model.hooks.filter((hook) => hook.endsWith("hook_resid_post"));
  const random = randomFor("panel");
  const D = before.model.width;
  const read = (model: Model, sequences: readonly Sequence[]) =>
    readAll(model, before, probe, hooks, sequences);
  const [fitted, judged] = [
    await read(before.reference, fit.sequences),
    await read(before.reference, calibration.sequences),
  ];
  const kind = kindOfFit(probe);
  const linear = (hook: string) =>
    fitProbe(
      kind,
      { activations_ND: fitted.map(({ means }) => means[hook]!), labels: fit.labels },
      { hook, positions: "completion", pool: "mean" },
      { random },
    );
  const layers = hooks.map((hook) => ({ hook, probe: linear(hook) }));
  const own = layers.find(({ hook }) => hook === probe.tap.hook)?.probe ?? linear(probe.tap.hook);
  const ranks = layers
    .filter(({ hook }) => hook !== probe.tap.hook)
    .map((one) => ({
      ...one,
      auroc: auroc(
        judged.map(({ means }) => logit(one.probe, means[one.hook]!)),
        calibration.labels,
      ),
    }))
    .sort((a, b) => (b.auroc ?? 0) - (a.auroc ?? 0));
  const other = ranks[0] ?? { hook: probe.tap.hook, probe: own };
  const honest = judged.filter((_, i) => !calibration.labels[i]);
  const steadied = layers.map((one) => {
    const logits = honest.map(({ means }) => logit(one.probe, means[one.hook]!));
    const mean = logits.reduce((sum, x) => sum + x, 0) / logits.length;
    const deviation = Math.sqrt(logits.reduce((sum, x) => sum + (x - mean) ** 2, 0) / logits.length);
    return { ...one, mean, deviation: Math.max(deviation, 1e-9) };
  });
  const attended = evenly(fitted.length, ATTENDED);
  const attention = fitAttention(
    attended.map((i) => fitted[i]!.rows_PD),
    attended.map((i) => fit.labels[i]!),
    D,
    { random },
  );
  const again = fitProbe(
    kind,
    { activations_ND: (await read(after, fit.sequences)).map(({ tapped }) => tapped), labels: fit.labels },
    probe.tap,
    { random },
  );
  const scoreOf: Record<MonitorName, (read: Read) => number> = {
    mean: (one) => one.own,
    max: ({ rows_PD }) => poolLogits(tokensOf(rows_PD, own, D), "max"),
    attention: ({ rows_PD }) => attentionLogit(attention, rows_PD),
    "other-layer": ({ means }) => logit(other.probe, means[other.hook]!),
    ensemble: ({ means }) =>
      steadied.reduce((sum, one) => sum + (logit(one.probe, means[one.hook]!) - one.mean) / one.deviation, 0),
    refit: ({ tapped }) => logit(again, tapped),
  };
  const named = <T>(of: (name: MonitorName) => T) =>
    Object.fromEntries(monitorNames.map((name) => [name, of(name)])) as Record<MonitorName, T>;
  const refitted = await read(after, calibration.sequences);
  return {
    scores: async (model, sequences) => {
      const found = await read(model, sequences);
      return named((name) => found.map(scoreOf[name]));
    },
    thresholds: named((name) => {
      if (name === "mean") return probe.threshold;
      const on = name === "refit" ? refitted : judged;
      return thresholdAtFpr(on.map(scoreOf[name]), calibration.labels, falsePositiveRate)!;
    }),
  };
}

/** What a monitor says of sequences whose labels are known; `null` where there is nothing of a kind. */
export function ratesOf(
  scores: readonly number[],
  labels: readonly boolean[],
  threshold: number,
): Record<"recall" | "fpr" | "auroc", number | null> {
  return {
    recall: recallAt(scores, labels, threshold),
    fpr: fprAt(scores, labels, threshold),
    auroc: auroc(scores, labels),
  };
}

async function readAll(
  model: Model,
  { tokenizer }: Engine,
  probe: Probe,
  hooks: readonly string[],
  sequences: readonly Sequence[],
): Promise<Read[]> {
  const { hook, positions, followUp, pool } = probe.tap;
  const reads = [
    { as: "rows" as const, hook, positions: "completion" as const },
    { as: "logits" as const, probe },
    { as: "mean" as const, hook, positions },
    ...hooks.map((one) => ({ as: "mean" as const, hook: one, positions: "completion" as const })),
  ];
  const behind = tokenizer.encode(followUp ?? "");
  const found: Read[] = [];
  for (let start = 0; start < sequences.length; start += CHUNK) {
    const chunk = sequences.slice(start, start + CHUNK);
    for (const { reads: values } of await model.forward(chunk, { reads, followUp: behind, readsOnly: true }))
      found.push({
        rows_PD: values[0]!,
        own: poolLogits(values[1]!, pool),
        tapped: values[2]!,
        means: Object.fromEntries(hooks.map((one, i) => [one, values[3 + i]!])),
      });
  }
  return found;
}

function tokensOf(rows_PD: Float32Array, probe: Probe, D: number): number[] {
  return Array.from({ length: rows_PD.length / D }, (_, p) =>
    logit(probe, rows_PD.subarray(p * D, (p + 1) * D)),
  );
}

/** So many indices at most, evenly spaced. */
function evenly(count: number, most: number): number[] {
  const kept = Math.min(count, most);
  return Array.from({ length: kept }, (_, i) => Math.floor((i * count) / kept));
}

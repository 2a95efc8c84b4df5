/** @file What is drawn over the steps of training, and the numbers behind each curve. */

import type { RunData } from "../report/data.ts";
import { formatNumber } from "./format.ts";

/** One figure. */
export interface CurveSpec {
  /** A name in `metrics.jsonl`, and one that is taken from it. */
  metric: string;
  minus?: string;
  title: string;
  /** What to look for. */
  look: string;
  /** A share, drawn from 0 to 1; other measures have the range of their values. */
  share: boolean;
}

/** A step of an arm: the mean over seeds and their range. */
export interface CurvePoint {
  arm: string;
  step: number;
  mean: number;
  low: number;
  high: number;
  seeds: number;
}

/** `recent`: not recorded by earlier versions, and left out of their studies. */
export const curveGroups: { title: string; recent?: true; curves: CurveSpec[] }[] = [
  {
    title: "What the model does",
    curves: [
      {
        metric: "misbehaviour",
        title: "Misbehaviour",
        look: "The share of completions that misbehave. Training on the flawed reward alone drives it up; does an arm bring it down?",
        share: true,
      },
      {
        metric: "true",
        title: "True reward",
        look: "What we wanted, never seen by training. It should rise; a fall means the flaw was learnt instead.",
        share: true,
      },
      {
        metric: "proxy",
        title: "Proxy reward",
        look: "What training sees. It rises in most arms: by itself it cannot tell good work from bad.",
        share: true,
      },
    ],
  },
  {
    title: "What the probe still sees",
    curves: [
      {
        metric: "tracer/initial/policy/recall_frozen",
        title: "Recall on the policy",
        look: "The share of known misbehaviour that the initial probe flags at its fixed threshold. A fall means a blinded probe.",
        share: true,
      },
      {
        metric: "tracer/initial/policy/recall_recalibrated",
        title: "Recall, threshold set anew",
        look: "The same probe with its threshold set again at 1 % false alarms. High while the curve before is low: a mere shift.",
        share: true,
      },
      {
        metric: "tracer/initial/reference/recall_frozen",
        title: "Recall on the reference",
        look: "The same probe and texts, read on a frozen copy of the start. It stays flat: only the policy's activations move.",
        share: true,
      },
      {
        metric: "tracer/initial/policy/auroc",
        title: "AUROC of the initial probe",
        look: "The ranking without a threshold. High while recall is low: a mere shift. Low: the direction itself turned away.",
        share: true,
      },
      {
        metric: "tracer/fresh/policy/auroc",
        title: "AUROC of a fresh probe",
        look: "A probe fitted anew at each step. While it is high the concept is still there, and only moved.",
        share: true,
      },
      {
        metric: "tracer/initial/reference/score_misbehaving",
        minus: "tracer/initial/policy/score_misbehaving",
        title: "Gap between reference and policy",
        look: "How much lower the policy's own activations score known misbehaviour than the frozen copy's. Zero: nothing is hidden.",
        share: false,
      },
    ],
  },
  {
    title: "What training makes of it",
    recent: true,
    curves: [
      {
        metric: "misses/of_reinforced",
        title: "Reinforced misses",
        look: "Of the rollouts that a step made likelier, the share that misbehaved and was not flagged. Such misses are what a policy can grow.",
        share: true,
      },
      {
        metric: "misses/of_all",
        title: "All misses",
        look: "The same share of all rollouts. Where reinforced misses are the larger share, training selects for them.",
        share: true,
      },
      {
        metric: "decomposition/text",
        title: "Change of the score by text",
        look: "How much the initial probe's mean score changed since the start because the texts did: other behaviour, or other words for it.",
        share: false,
      },
      {
        metric: "decomposition/model",
        title: "Change of the score by the model",
        look: "How much it changed because the policy reads the same texts otherwise. Far below zero: the probe is being blinded.",
        share: false,
      },
    ],
  },
  {
    title: "How far the model moved",
    curves: [
      {
        metric: "kl",
        title: "KL to the reference",
        look: "How far the policy's words are from where they began, in nats per token. Compare arms at a similar distance.",
        share: false,
      },
      {
        metric: "entropy",
        title: "Entropy",
        look: "How varied the sampling still is, in nats per token. Near zero the model always says the same.",
        share: false,
      },
      {
        metric: "completions/mean_length",
        title: "Completion length",
        look: "In tokens. A sudden change often marks the moment at which a new strategy takes over.",
        share: false,
      },
    ],
  },
];

/**
 * The groups of figures for what was recorded: probes that training never saw (`tracer/<probe>/policy/auroc`) get a
 * figure each beside the initial and the fresh one.
 */
export function curveGroupsOf(runs: readonly RunData[]): typeof curveGroups {
  const names = new Set(runs.flatMap((run) => Object.keys(run.metrics)));
  const others = [...names].flatMap((metric): CurveSpec[] => {
    const probe = /^tracer\/([^/]+)\/policy\/auroc$/.exec(metric)?.[1];
    if (probe === undefined || probe === "initial" || probe === "fresh") return [];
    const look =
      "A probe that no training was ever against. It tells what was hidden from all probes, and what from one.";
    return [{ metric, title: `AUROC of the probe ${probe}`, look, share: true }];
  });
  const recorded = curveGroups.filter(
    ({ recent, curves }) => !recent || curves.some(({ metric }) => names.has(metric)),
  );
  return recorded.map((group) =>
    group.title === "What the probe still sees" ? { ...group, curves: [...group.curves, ...others] } : group,
  );
}

/** A curve of all runs as points by arm and step; steps at which no seed has a defined value are left out. */
export function curvePoints(
  runs: readonly RunData[],
  { metric, minus }: Pick<CurveSpec, "metric" | "minus">,
): CurvePoint[] {
  const arms = [...new Set(runs.map((run) => run.arm))];
  return arms.flatMap((arm) => {
    const byStep = new Map<number, number[]>();
    for (const run of runs) {
      if (run.arm !== arm) continue;
      const column = run.metrics[metric];
      const other = minus === undefined ? undefined : run.metrics[minus];
      column?.forEach((first, i) => {
        const second = minus === undefined ? 0 : other?.[i];
        if (first === null || second === null || second === undefined) return;
        const step = run.metrics.step![i]!;
        const values = byStep.get(step);
        if (values) values.push(first - second);
        else byStep.set(step, [first - second]);
      });
    }
    return [...byStep]
      .sort(([a], [b]) => a - b)
      .map(([step, values]) => ({
        arm,
        step,
        mean: values.reduce((sum, value) => sum + value, 0) / values.length,
        low: Math.min(...values),
        high: Math.max(...values),
        seeds: values.length,
      }));
  });
}

/** The curves in words, for those who hear the page: where each arm starts and ends. */
export function describeCurves(title: string, points: readonly CurvePoint[]): string {
  const arms = [...new Set(points.map((point) => point.arm))];
  const parts = arms.map((arm) => {
    const own = points.filter((point) => point.arm === arm);
    return `${arm} from ${formatNumber(own[0]!.mean)} to ${formatNumber(own.at(-1)!.mean)}`;
  });
  return parts.length > 0 ? `${title} over steps: ${parts.join("; ")}.` : `${title}: no values yet.`;
}

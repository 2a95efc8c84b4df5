/** @file What is drawn over the steps of training: the figures, in groups, of what every run may record. */

import {
  decompositionMetric,
  kernelMetric,
  monitorMetric,
  thoughtMetric,
  tracerMetric,
} from "../store/metric-names.ts";

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
  /** Put aside where it stays the same in all arms. */
  fold?: true;
}

export interface CurveGroup {
  title: string;
  curves: CurveSpec[];
}

export const curveGroups: CurveGroup[] = [
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
        metric: tracerMetric("initial", "policy", "recall_frozen"),
        title: "Recall on the policy",
        look: "The share of known misbehaviour that the initial probe flags at its fixed threshold. A fall means a blinded probe.",
        share: true,
      },
      {
        metric: tracerMetric("initial", "policy", "fpr_frozen"),
        title: "False alarms on the policy",
        look: "The share of known honest completions that it flags at the same threshold. Recall counts for nothing where this rises too.",
        share: true,
      },
      {
        metric: tracerMetric("initial", "policy", "recall_recalibrated"),
        title: "Recall, threshold set anew",
        look: "The same probe with its threshold set again at 1 % false alarms. High while the curve before is low: a mere shift.",
        share: true,
      },
      {
        metric: tracerMetric("initial", "reference", "recall_frozen"),
        title: "Recall on the reference",
        look: "The same probe and texts, read on a frozen copy of the start. It stays flat: only the policy's activations move.",
        share: true,
      },
      {
        metric: tracerMetric("initial", "policy", "auroc"),
        title: "AUROC of the initial probe",
        look: "The ranking without a threshold. High while recall is low: a mere shift. Low: the direction itself turned away.",
        share: true,
      },
      {
        metric: tracerMetric("fresh", "policy", "auroc"),
        title: "AUROC of a fresh probe",
        look: "A probe fitted anew at each step. While it is high the concept is still there, and only moved.",
        share: true,
      },
      {
        metric: tracerMetric("initial", "reference", "score_misbehaving"),
        minus: tracerMetric("initial", "policy", "score_misbehaving"),
        title: "Gap between reference and policy",
        look: "How much lower the policy's own activations score known misbehaviour than the frozen copy's. Zero: nothing is hidden.",
        share: false,
      },
    ],
  },
  {
    title: "What training makes of it",
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
        metric: decompositionMetric("text"),
        title: "Change of the score by text",
        look: "How much the initial probe's mean score changed since the start because the texts did: other behaviour, or other words for it.",
        share: false,
      },
      {
        metric: decompositionMetric("model"),
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
      {
        metric: kernelMetric("distance"),
        title: "Change of the kernel",
        look: "How far gradients of known texts have turned against each other since the start. Near zero: a lazy run, of which forecasts from its start hold.",
        share: false,
        fold: true,
      },
      {
        metric: kernelMetric("misbehaving"),
        title: "Kernel of misbehaviour",
        look: "How far a step along known misbehaviour moves it, against the start. Growing: what is learnt is learnt ever faster.",
        share: false,
        fold: true,
      },
    ],
  },
  {
    title: "What the arm's monitor does",
    curves: [
      {
        metric: monitorMetric("recall"),
        title: "The monitor's recall",
        look: "Of the step's rollouts that misbehaved, the share that it flagged. The initial probe stands in where no monitor takes part.",
        share: true,
        fold: true,
      },
      {
        metric: monitorMetric("fpr"),
        title: "The monitor's false alarms",
        look: "Of the step's honest rollouts, the share that it flagged: what training is punished for without cause.",
        share: true,
        fold: true,
      },
      {
        metric: monitorMetric("flagged"),
        title: "Flagged by the monitor",
        look: "Of all the step's rollouts. Falling with misbehaviour is what one wants; falling without it is a blinded monitor.",
        share: true,
        fold: true,
      },
    ],
  },
  {
    title: "What training is paid",
    curves: [
      {
        metric: "reward",
        title: "Reward",
        look: "What training maximises: all terms together, penalties among them.",
        share: false,
        fold: true,
      },
      {
        metric: "reward/misbehaving",
        title: "Reward of misbehaviour",
        look: "Of the rollouts that misbehaved. While it is above that of the honest ones, misbehaving pays.",
        share: false,
        fold: true,
      },
      {
        metric: "reward/honest",
        title: "Reward of honesty",
        look: "Of all the others. A penalty on false alarms drags it down.",
        share: false,
        fold: true,
      },
    ],
  },
];

/** Recorded where completions begin with a thought. */
export const thoughtCurves: CurveSpec[] = [
  {
    metric: thoughtMetric("admitted"),
    title: "Admitted by the thought",
    look: "Of what misbehaves, the share whose thought says so. A fall without one of misbehaviour: nice thoughts, the same deeds.",
    share: true,
  },
  {
    metric: thoughtMetric("denied"),
    title: "Denied by the thought",
    look: "Of what misbehaves, the share whose thought says otherwise. What is neither admitted nor denied is passed over in silence.",
    share: true,
  },
  {
    metric: thoughtMetric("auroc"),
    title: "AUROC of the reader of thoughts",
    look: "A classifier of thoughts that was fitted before training. At 0.5 thoughts tell it nothing any more.",
    share: true,
  },
  {
    metric: thoughtMetric("readable"),
    title: "AUROC of a new reader of thoughts",
    look: "One that is fitted anew at each measured step. While it is high, other words give it away.",
    share: true,
  },
  {
    metric: thoughtMetric("follows"),
    title: "Answers that follow swapped thoughts",
    look: "The thought of another completion of the task is put in the place of its own. At 1 thoughts decide; at 0.5 they decide nothing.",
    share: true,
  },
];

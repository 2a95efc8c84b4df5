/** @file What the metrics of a line are: meaning, unit, range, and when each is not defined. Names with parts come from `metric-names.ts`. */

import {
  cosineMetric,
  decompositionMetric,
  deployedMetric,
  labelMetric,
  monitorMetric,
  probeMetric,
  rewardMetric,
  type TracerMeasure,
  tracerMetric,
} from "./metric-names.ts";

/** One metric, or all of a kind. */
export interface MetricInfo {
  /** As in `metrics.jsonl`. What is in angle brackets varies: any text, or one of those between bars. */
  name: string;
  meaning: string;
  /** Empty for shares, probabilities and rates. */
  unit: string;
  /** Both within the range; absent where there is no bound. */
  low?: number;
  high?: number;
  /** When it is `null`; absent where it is always defined. */
  undefinedWhere?: string;
}

export interface MetricGroup {
  title: string;
  /** When lines have them, and on what they are measured. */
  about: string;
  metrics: readonly MetricInfo[];
}

const share = { unit: "", low: 0, high: 1 };
const difference = { unit: "", low: -1, high: 1 };
const nats = { unit: "nats per token", low: 0 };
const READER = "<policy|reference>" as "policy";

const noMisbehaviour = "nothing misbehaved";
const noHonesty = "everything misbehaved";
const oneClass = "all misbehaved, or none";

const tracer = (probe: string, measures: readonly TracerMeasure[], more: Omit<MetricInfo, "name">) => ({
  name: tracerMetric(probe, READER, `${oneOf(measures)}` as TracerMeasure),
  ...more,
});
const oneOf = (names: readonly string[]) => (names.length === 1 ? names[0]! : `<${names.join("|")}>`);
const kept = "<other-layer|other-sample|other-kind|refitted>";
const tracerClass = "the tracer set (for a fresh probe, a half of it) lacks a class";

/** All that a run writes of its own, in the order of the reference. What terms and monitors log comes beside. */
export const metricGroups: readonly MetricGroup[] = [
  {
    title: "Behaviour",
    about: "Over the step's rollouts, before its update.",
    metrics: [
      {
        name: "misbehaviour",
        meaning: "rollouts that misbehaved: paid for what they should not have done",
        ...share,
      },
      { name: "attempted", meaning: "rollouts that misbehaved or tried to", ...share },
      { name: "true", meaning: "mean true reward, which training never sees", ...share },
      { name: "proxy", meaning: "mean proxy reward, what the environment pays", ...share },
      { name: labelMetric("<label>"), meaning: "rollouts with this label of the environment", ...share },
      {
        name: "completions/mean_length",
        meaning: "mean length, the end of the text included",
        unit: "tokens",
        low: 0,
      },
      {
        name: "completions/clipped_ratio",
        meaning: "completions that were cut off at the longest length",
        ...share,
      },
      {
        name: "completions/identical_ratio",
        meaning: "completions that are the commonest one of the step",
        ...share,
      },
      { name: "num_tokens", meaning: "tokens of all completions", unit: "tokens", low: 0 },
      { name: "entropy", meaning: "mean entropy of the policy at each sampled token", ...nats },
      { name: "kl", meaning: "divergence from the reference, by the k3 estimate", ...nats },
    ],
  },
  {
    title: "Rewards and the update",
    about: "What training is paid, and what it does with it.",
    metrics: [
      {
        name: "reward",
        meaning: "mean total reward: all terms by their weights",
        unit: "reward",
        undefinedWhere: "no term scored a rollout",
      },
      {
        name: rewardMetric("<term>"),
        meaning: "mean score of one term, before its weight",
        unit: "reward",
        undefinedWhere: "it scored no rollout",
      },
      {
        name: "reward/misbehaving",
        meaning: "mean total reward of rollouts that misbehaved: above that of the others, misbehaving pays",
        unit: "reward",
        undefinedWhere: noMisbehaviour,
      },
      {
        name: "reward/honest",
        meaning: "mean total reward of all others",
        unit: "reward",
        undefinedWhere: noHonesty,
      },
      {
        name: "reward_std",
        meaning: "standard deviation of rewards within a group, mean over groups",
        unit: "reward",
        low: 0,
      },
      {
        name: "frac_reward_zero_std",
        meaning: "groups whose rewards are all equal, but for rounding: they teach nothing",
        ...share,
      },
      { name: "frac_without_reward", meaning: "rollouts that no term scored", ...share },
      { name: "frac_with_advantage", meaning: "rollouts that the update learns from", ...share },
      { name: "loss", meaning: "the loss, mean over the step's updates", unit: "" },
      {
        name: "probe_loss",
        meaning: "the probe's part of the loss (arms with a probe in it)",
        unit: "",
        low: 0,
      },
      { name: "grad_norm", meaning: "norm of the gradient before it is clipped", unit: "", low: 0 },
      { name: "learning_rate", meaning: "of this step", unit: "", low: 0 },
      {
        name: "clip_ratio/region_mean",
        meaning: "the loss' share of tokens whose probability ratio is beyond the clip range",
        unit: "",
        low: 0,
      },
      {
        name: "sampling/logp_difference/<mean|max>",
        meaning:
          "between the sampler's and the trainer's log-probability of a sampled token: rounding, or a mistake",
        unit: "nats",
        low: 0,
      },
      { name: "step_time", meaning: "wall time of the step", unit: "seconds", low: 0 },
    ],
  },
  {
    title: "The initial probe on the step's rollouts",
    about:
      "Read on the policy and on the frozen reference; at its frozen threshold. Labels are what misbehaved.",
    metrics: [
      { name: probeMetric(READER, "score_mean"), meaning: "mean probability", ...share },
      {
        name: probeMetric(READER, "score_misbehaving"),
        meaning: "mean probability of what misbehaved",
        ...share,
        undefinedWhere: noMisbehaviour,
      },
      {
        name: probeMetric(READER, "recall"),
        meaning: "of what misbehaved, the share flagged",
        ...share,
        undefinedWhere: noMisbehaviour,
      },
      {
        name: probeMetric(READER, "fpr"),
        meaning: "of the others, the share flagged",
        ...share,
        undefinedWhere: noHonesty,
      },
      {
        name: probeMetric(READER, "auroc"),
        meaning: "how well it ranks (chance: 0.5)",
        ...share,
        undefinedWhere: oneClass,
      },
    ],
  },
  {
    title: "The arm's monitor",
    about:
      "On the step's rollouts; the initial probe on the policy where no monitor takes part in training. Further monitors of an arm have their names in between.",
    metrics: [
      ...[undefined, "<monitor>"].flatMap((monitor) => [
        { name: monitorMetric("flagged", monitor), meaning: "rollouts that it flags", ...share },
        {
          name: monitorMetric("recall", monitor),
          meaning: "of what misbehaved, the share flagged",
          ...share,
          undefinedWhere: noMisbehaviour,
        },
        {
          name: monitorMetric("fpr", monitor),
          meaning: "of the others, the share flagged",
          ...share,
          undefinedWhere: noHonesty,
        },
        { name: monitorMetric("accuracy", monitor), meaning: "rollouts that it is right about", ...share },
      ]),
      {
        name: "misses/of_all",
        meaning: "rollouts that misbehaved and were not flagged",
        ...share,
      },
      {
        name: "misses/of_reinforced",
        meaning:
          "the same of the rollouts with a positive advantage: above the one before, training selects for misses",
        ...share,
        undefinedWhere: "no advantage is positive",
      },
      {
        name: "exchange/<predicted|predicted_low|predicted_high>",
        meaning:
          "undetected misbehaviour gained per misbehaviour removed by a penalty on these flags, in closed form from hits and misses; 95 % interval by bootstrap over prompts",
        unit: "ratio",
        undefinedWhere: `${oneClass}; or the monitor flags misbehaviour no more often than the rest`,
      },
    ],
  },
  {
    title: "The tracer set",
    about:
      "Fixed labelled sequences, teacher-forced at evaluated steps only (`training.evaluateEvery`, the first and the last), after the update. Here misbehaving means `attempted`: it misbehaved or tried to. `initial` is the study's probe, `fresh` one of its kind fitted anew (each half of the tasks judged by the other), `other-*` are probes that no arm trains on, `refitted` is the probe in training where it is fitted again.",
    metrics: [
      tracer(`<initial|fresh|${kept.slice(1)}`, ["auroc"], {
        meaning: "how well it ranks (chance: 0.5)",
        ...share,
        undefinedWhere: tracerClass,
      }),
      tracer(`<initial|fresh|${kept.slice(1)}`, ["d_prime"], {
        meaning:
          "the same as a distance: sqrt(2) times the normal quantile of the AUROC, limited to half a pair",
        unit: "standard deviations",
        undefinedWhere: tracerClass,
      }),
      tracer(`<initial|${kept.slice(1)}`, ["recall_frozen"], {
        meaning: "recall at the threshold that was set before training (`refitted`: at its present one)",
        ...share,
        undefinedWhere: tracerClass,
      }),
      tracer(`<initial|${kept.slice(1)}`, ["fpr_frozen"], {
        meaning: "false alarms at that threshold; recall less these is the probe's sight",
        ...share,
        undefinedWhere: tracerClass,
      }),
      tracer("fresh", ["recall_frozen", "fpr_frozen"], {
        meaning: "a fresh probe has no frozen threshold",
        ...share,
        undefinedWhere: "always",
      }),
      tracer("<initial|fresh>", ["recall_recalibrated", "recall_recalibrated_5"], {
        meaning: "recall at a threshold set anew on the tracer set, for 1 % and for 5 % of false alarms",
        ...share,
        undefinedWhere: tracerClass,
      }),
      tracer("<initial|fresh>", ["score_misbehaving", "score_honest"], {
        meaning: "mean probability of each class",
        ...share,
        undefinedWhere: tracerClass,
      }),
      tracer("<initial|fresh>", ["brier"], {
        meaning: "mean squared error of the probability: 0 is perfect, 0.25 is saying one half always",
        ...share,
        undefinedWhere: tracerClass,
      }),
      {
        name: cosineMetric(READER),
        meaning:
          "between the initial and the fresh direction; below 1 from the start, since they are fitted on different examples",
        ...difference,
        undefinedWhere: "a half of the tracer set lacks a class, or a direction is zero",
      },
    ],
  },
  {
    title: "Why the score changed, and the policy as deployed",
    about:
      "At evaluated steps. `deployed/*` only where an arm trains otherwise than it is judged (`inoculation`, the ablations): the policy without that, on a batch of its own.",
    metrics: [
      {
        name: decompositionMetric("<total|text|model>"),
        meaning:
          "change of the initial probe's mean probability since the start, and its parts: other texts, and another reader of the same texts (Shapley values)",
        ...difference,
      },
      {
        name: decompositionMetric("interaction"),
        meaning: "how much more the text changes it on the policy than on the reference",
        unit: "",
        low: -2,
        high: 2,
      },
      {
        name: deployedMetric("<misbehaviour|attempted|true|proxy>"),
        meaning: "as the metrics of these names",
        ...share,
      },
      {
        name: deployedMetric(probeMetric(READER, "score_mean")),
        meaning: "as `probe/*`",
        ...share,
      },
      {
        name: deployedMetric(`probe/${READER}/<score_misbehaving|recall|auroc>`),
        meaning: "as `probe/*`",
        ...share,
        undefinedWhere: "as `probe/*`",
      },
    ],
  },
];

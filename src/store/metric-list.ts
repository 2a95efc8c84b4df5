/** @file What the metrics of a line are: meaning, unit, range, and when each is not defined. Names with parts come from `metric-names.ts`. */

import {
  alarmMetric,
  cosineMetric,
  decompositionMetric,
  deployedMetric,
  kernelMetric,
  labelMetric,
  monitorMetric,
  probeMetric,
  rewardMetric,
  type TracerMeasure,
  thoughtMetric,
  tracerMetric,
} from "./metric-names.ts";

interface Range {
  /** Empty for shares, probabilities and rates. */
  unit: string;
  /** Both within the range; absent where there is no bound. */
  low?: number;
  high?: number;
}

/** One metric, or all of a kind. */
export interface MetricInfo extends Range {
  /** As in `metrics.jsonl`. What is in angle brackets varies: any text, or one of those between bars. */
  name: string;
  meaning: string;
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
const positive = { unit: "", low: 0 };
const reward = { unit: "reward" };
const tokens = { unit: "tokens", low: 0 };
const nats = { unit: "nats per token", low: 0 };
const READER = "<policy|reference>" as "policy";

const noMisbehaviour = "nothing misbehaved";
const noHonesty = "everything misbehaved";
const oneClass = "all misbehaved, or none";

const metric = (name: string, meaning: string, range: Range, undefinedWhere?: string): MetricInfo => ({
  ...{ name, meaning, ...range },
  ...(undefinedWhere !== undefined && { undefinedWhere }),
});
const tracer = (probe: string, measures: readonly TracerMeasure[], ...more: [string, Range, string]) =>
  metric(tracerMetric(probe, READER, oneOf(measures) as TracerMeasure), ...more);
const oneOf = (names: readonly string[]) => (names.length === 1 ? names[0]! : `<${names.join("|")}>`);
const kept = "<other-layer|other-sample|other-kind|refitted>";
const tracerClass = "the tracer set (for a fresh probe, a half of it) lacks a class";

/** All that a run writes of its own, in the order of the reference. What terms and monitors log comes beside. */
export const metricGroups: readonly MetricGroup[] = [
  {
    title: "Behaviour",
    about: "Over the step's rollouts, before its update.",
    metrics: [
      metric(
        "misbehaviour",
        "share of rollouts that misbehaved: paid for what they should not have done",
        share,
      ),
      metric("attempted", "share of rollouts that misbehaved or tried to", share),
      metric("true", "mean true reward, which training never sees", share),
      metric("proxy", "mean proxy reward, what the environment pays", share),
      metric(labelMetric("<label>"), "share of rollouts with this label of the environment", share),
      metric("completions/mean_length", "mean length, the end of the text included", tokens),
      metric(
        "completions/clipped_ratio",
        "share of completions that were cut off at the longest length",
        share,
      ),
      metric(
        "completions/identical_ratio",
        "share of completions that are the commonest one of the step",
        share,
      ),
      metric("num_tokens", "tokens of all completions", tokens),
      metric("entropy", "mean entropy of the policy at each sampled token", nats),
      metric("kl", "divergence from the reference, by the k3 estimate", nats),
    ],
  },
  {
    title: "Rewards and the update",
    about: "What training is paid, and what it does with it.",
    metrics: [
      metric("reward", "mean total reward: all terms by their weights", reward, "no term scored any rollout"),
      metric(
        rewardMetric("<term>"),
        "mean score of one term, before its weight",
        reward,
        "it scored no rollout",
      ),
      metric(
        "reward/misbehaving",
        "mean total reward of rollouts that misbehaved: above that of the others, misbehaving pays",
        reward,
        `${noMisbehaviour}, or none of it was scored`,
      ),
      metric(
        "reward/honest",
        "mean total reward of all others",
        reward,
        `${noHonesty}, or none of the rest was scored`,
      ),
      metric("reward_std", "standard deviation of rewards within a group, mean over groups", {
        ...reward,
        low: 0,
      }),
      metric(
        "frac_reward_zero_std",
        "share of groups whose rewards are all equal, but for rounding: they teach nothing",
        share,
      ),
      metric("frac_without_reward", "share of rollouts that no term scored", share),
      metric("frac_with_advantage", "share of rollouts that the update learns from", share),
      metric("loss", "the loss, mean over the step's updates", { unit: "" }),
      metric("probe_loss", "the probe's part of the loss (arms with a probe in it)", positive),
      metric("grad_norm", "norm of the gradient before it is clipped", positive),
      metric("learning_rate", "of this step", positive),
      metric(
        "clip_ratio/region_mean",
        "the loss' share of tokens whose probability ratio is beyond the clip range",
        positive,
      ),
      metric(
        "sampling/logp_difference/<mean|max>",
        "between the sampler's and the trainer's log-probability of a sampled token: rounding, or a mistake; over the first group, where all is read while sampling (`readWhileSampling`)",
        { unit: "nats", low: 0 },
      ),
      metric(
        "sampling/read_difference/max",
        "between what is read while sampling and by a pass, as a share of it where it is above 1; 0 where all is read by the pass",
        { unit: "", low: 0 },
      ),
      metric("step_time", "wall time of the step", { unit: "seconds", low: 0 }),
    ],
  },
  {
    title: "The initial probe on the step's rollouts",
    about:
      "Read on the policy and on the frozen reference; at its frozen threshold. Labels are what misbehaved.",
    metrics: [
      metric(probeMetric(READER, "score_mean"), "mean probability", share),
      metric(
        probeMetric(READER, "score_misbehaving"),
        "mean probability of what misbehaved",
        share,
        noMisbehaviour,
      ),
      metric(probeMetric(READER, "recall"), "of what misbehaved, the share flagged", share, noMisbehaviour),
      metric(probeMetric(READER, "fpr"), "of the others, the share flagged", share, noHonesty),
      metric(probeMetric(READER, "auroc"), "how well it ranks (chance: 0.5)", share, oneClass),
    ],
  },
  {
    title: "The arm's monitor",
    about:
      "On the step's rollouts; the initial probe on the policy where no monitor takes part in training. Further monitors of an arm have their names in between.",
    metrics: [
      ...[undefined, "<monitor>"].flatMap((monitor) => [
        metric(monitorMetric("flagged", monitor), "share of rollouts that it flags", share),
        metric(
          monitorMetric("recall", monitor),
          "of what misbehaved, the share flagged",
          share,
          noMisbehaviour,
        ),
        metric(monitorMetric("fpr", monitor), "of the others, the share flagged", share, noHonesty),
        metric(monitorMetric("accuracy", monitor), "share of rollouts that it is right about", share),
        metric(monitorMetric("auroc", monitor), "how well it ranks (chance: 0.5)", share, oneClass),
      ]),
      metric(
        "misses/of_all",
        "share of rollouts that misbehaved and that no monitor of the arm flagged",
        share,
      ),
      metric(
        "misses/of_reinforced",
        "the same of the rollouts with a positive advantage: above the one before, training selects for misses",
        share,
        "no advantage is positive",
      ),
      metric(
        "exchange/<predicted|predicted_low|predicted_high>",
        "undetected misbehaviour gained per misbehaviour removed by a penalty on these flags, in closed form from hits and misses; 95 % interval by bootstrap over prompts",
        { unit: "ratio" },
        `${oneClass}; or the monitor flags misbehaviour no more often than the rest`,
      ),
    ],
  },
  {
    title: "Thoughts",
    about:
      "In environments whose completions begin with a thought. `readable`, `follows` and `swapped` at evaluated steps only, on the step's rollouts.",
    metrics: [
      metric(
        thoughtMetric("admitted"),
        "of the rollouts that misbehaved, the share whose thought says so",
        share,
        noMisbehaviour,
      ),
      metric(
        thoughtMetric("denied"),
        "of these, the share whose thought says otherwise; the others say nothing of it",
        share,
        noMisbehaviour,
      ),
      metric(
        thoughtMetric("kept"),
        "of the rollouts whose thought says whether misbehaviour comes, the share in which it comes or not as was said",
        share,
        "no thought says anything of it",
      ),
      metric(
        thoughtMetric("auroc"),
        "how well the classifier of thoughts that was fitted before training ranks (chance: 0.5)",
        share,
        oneClass,
      ),
      metric(
        thoughtMetric("readable"),
        "how well one ranks that is fitted anew, on the thoughts of the other half of the step's tasks",
        share,
        `a half has one class: ${oneClass}`,
      ),
      metric(
        thoughtMetric("follows"),
        "thoughts swapped between completions of a task of which one misbehaved, and continued by the policy: share that does as the thought's own completion did (thoughts decide: 1; they decide nothing: 0.5)",
        share,
        "no task has completions of both kinds with thoughts",
      ),
      metric(thoughtMetric("swapped"), "how many were continued", { unit: "rollouts", low: 0 }),
    ],
  },
  {
    title: "Alarms",
    about:
      "What alarms rest on at every step (`training.alarms`), without ground truth of rollouts: sequences drawn from the tracer set, and the held-out probes on the step's rollouts. And what they cannot see.",
    metrics: [
      metric(
        alarmMetric("lost"),
        "of known misbehaviour that the initial probe flagged at the start: how much of the way to its threshold the readings have gone",
        share,
        "no sequence was drawn",
      ),
      metric(
        alarmMetric("spread"),
        "standard deviation of these shares over sequences",
        { unit: "", low: 0, high: 0.5 },
        "no sequence was drawn",
      ),
      metric(alarmMetric("count"), "on how many sequences", { unit: "sequences", low: 0 }),
      metric(
        alarmMetric("preference"),
        "how far the policy's preference between known misbehaviour and known honesty has moved, either way: the log-probability of the one less that of the other, less two standard errors of the draw",
        { unit: "nats", low: 0 },
        "no sequence of one of them was drawn",
      ),
      metric(
        alarmMetric("overlooked"),
        "share of rollouts that most held-out probes flag and the initial one does not",
        share,
        "there are no held-out probes, or the probe missed half of the misbehaviour from the start",
      ),
      metric(
        alarmMetric("unseen"),
        "share of rollouts that misbehaved, by the ground truth, which no alarm is told, and that neither the initial probe nor any held-out one flags",
        share,
      ),
    ],
  },
  {
    title: "The kernel",
    about:
      "How lazy a run is, every `training.kernelEvery` steps and at the last one: inner products of the gradients of mean log-probability of 16 misbehaving and 16 honest sequences of the tracer set, each in two halves, after the update. None changes where features stay what they were.",
    metrics: [
      metric(
        kernelMetric("misbehaving"),
        "the product of both halves of misbehaving sequences, as a multiple of what it was at the start: above 1, a step moves them further than it did",
        { unit: "ratio" },
        "a class is absent, or its product was not positive at the start",
      ),
      metric(
        kernelMetric("honest"),
        "the same of honest ones",
        { unit: "ratio" },
        "a class is absent, or its product was not positive at the start",
      ),
      metric(
        kernelMetric("alike"),
        "the cosine between the gradients of misbehaving and honest sequences: at 1, what raises one raises the other",
        difference,
        "a class is absent, or its product is not positive",
      ),
      metric(
        kernelMetric("distance"),
        "1 less the cosine between the table of all products now and at the start (Fort et al. 2020): 0 where they only grew or shrank together",
        { unit: "", low: 0, high: 2 },
        "a class is absent",
      ),
    ],
  },
  {
    title: "The tracer set",
    about:
      "Fixed labelled sequences, teacher-forced at evaluated steps only (`training.evaluateEvery`, the first and the last), after the update. Here misbehaving means `attempted`: it misbehaved or tried to. `initial` is the study's probe, `fresh` one of its kind fitted anew (each half of the tasks judged by the other), `other-*` are probes that no arm trains on, `refitted` is the probe in training where it is fitted again.",
    metrics: [
      tracer(
        `<initial|fresh|${kept.slice(1)}`,
        ["auroc"],
        "how well it ranks (chance: 0.5)",
        share,
        tracerClass,
      ),
      tracer(
        `<initial|fresh|${kept.slice(1)}`,
        ["d_prime"],
        "the same as a distance: sqrt(2) times the normal quantile of the AUROC, limited to half a pair",
        { unit: "standard deviations" },
        tracerClass,
      ),
      tracer(
        `<initial|${kept.slice(1)}`,
        ["recall_frozen"],
        "recall at the threshold that was set before training (`refitted`: at its present one)",
        share,
        tracerClass,
      ),
      tracer(
        `<initial|${kept.slice(1)}`,
        ["fpr_frozen"],
        "false alarms at that threshold; recall less these is the probe's sight",
        share,
        tracerClass,
      ),
      tracer(
        "fresh",
        ["recall_frozen", "fpr_frozen"],
        "a fresh probe has no frozen threshold",
        share,
        "always",
      ),
      tracer(
        "<initial|fresh>",
        ["recall_recalibrated", "recall_recalibrated_5"],
        "recall at a threshold set anew on the tracer set, for 1 % and for 5 % of false alarms",
        share,
        tracerClass,
      ),
      tracer(
        "<initial|fresh>",
        ["score_misbehaving", "score_honest"],
        "mean probability of each class",
        share,
        tracerClass,
      ),
      tracer(
        "<initial|fresh>",
        ["brier"],
        "mean squared error of the probability: 0 is perfect, 0.25 is saying one half always",
        share,
        tracerClass,
      ),
      metric(
        cosineMetric(READER),
        "between the initial and the fresh direction; below 1 from the start, since they are fitted on different examples",
        difference,
        "a half of the tracer set lacks a class, or a direction is zero",
      ),
    ],
  },
  {
    title: "Why the score changed, and the policy as deployed",
    about:
      "At evaluated steps. `deployed/*` only where an arm trains otherwise than it is judged (`inoculation`, the ablations): the policy without that, on a batch of its own.",
    metrics: [
      metric(
        decompositionMetric("<total|text|model>"),
        "change of the initial probe's mean probability since the start, and its parts: other texts, and another reader of the same texts (Shapley values)",
        difference,
      ),
      metric(
        decompositionMetric("interaction"),
        "how much more the text changes it on the policy than on the reference",
        { unit: "", low: -2, high: 2 },
      ),
      metric(deployedMetric("<misbehaviour|attempted|true|proxy>"), "as the metrics of these names", share),
      metric(deployedMetric(probeMetric(READER, "score_mean")), "as `probe/*`", share),
      metric(
        deployedMetric(`probe/${READER}/<score_misbehaving|recall|auroc>`),
        "as `probe/*`",
        share,
        "as `probe/*`",
      ),
    ],
  },
];

/** @file What is measured at every step, and on the tracer set every few steps. */

import { predictExchangeRate } from "../audit/index.ts";
import type { ForwardOptions, ForwardOutput, LossMetrics, Model, SampledSequence } from "../engine/index.ts";
import type { Outcome, Task } from "../environment/types.ts";
import {
  auroc,
  fprAt,
  freshProbeHealth,
  meanProbability,
  type ProbeHealth,
  probeHealth,
  recallAt,
  sigmoid,
} from "../probe/index.ts";
import type { Probe, Tap } from "../probe/types.ts";
import { randomFor } from "../random.ts";
import {
  cosineMetric,
  labelMetric,
  monitorMetric,
  probeMetric,
  rewardMetric,
  type TracerMeasure,
  tracerMetric,
} from "../store/metric-names.ts";
import type { RolloutRecord, StepMetrics } from "../store/records.ts";
import type { Advantages } from "./advantages.ts";
import type { StepLog } from "./log.ts";
import { readingsOf, readLogit, readMean, readProbe } from "./read.ts";
import { termsAt } from "./rewards.ts";

import type { TrainingSettings } from "./settings.ts";
import { withObservations, writtenTexts } from "./token-texts.ts";
import type { Rollout, RunContext, Verdict } from "./types.ts";

/** What a step has produced by the time it is measured. */
export interface Measured {
  step: number;
  learningRate: number;
  tasks: readonly Task[];
  outcomes: readonly Outcome[];
  rollouts: readonly Rollout[];
  completions: readonly SampledSequence[];
  /** Total reward per rollout (`null` where no term scored it), and the terms' scores before they are weighted. */
  rewards: readonly (number | null)[];
  scores: readonly (readonly (number | null)[])[];
  /** What the arm's monitor said; what the initial probe says on the policy where none takes part. */
  verdicts: readonly Verdict[];
  /** What its other monitors said, by their names. */
  otherVerdicts?: readonly (readonly [name: string, verdicts: readonly Verdict[]])[];
  /** What terms and monitors logged beside. */
  log: Pick<StepLog, "metrics" | "columns">;
  advantages: Advantages;
  onPolicy: readonly ForwardOutput[];
  /** What a pass of the policy computed over the first of them, or over all. */
  passed: readonly ForwardOutput[];
  onReference: readonly ForwardOutput[];
  updates: readonly (LossMetrics & { gradNorm: number })[];
}

const models: readonly Tap["model"][] = ["policy", "reference"];

/** A step's line of metrics; see `StepMetrics` for the names. */
export function measureStep(measured: Measured, context: RunContext): StepMetrics {
  const { arm, probe, environment } = context;
  const {
    step,
    outcomes,
    rollouts,
    completions,
    rewards,
    scores,
    advantages,
    onPolicy,
    passed,
    onReference,
    updates,
  } = measured;
  const misbehaved = outcomes.map((outcome) => outcome.misbehaved);
  const lengths = completions.map(({ tokens }) => tokens.length);
  const metrics: StepMetrics = {
    step,
    misbehaviour: mean(misbehaved.map(Number)),
    attempted: mean(outcomes.map(({ attempted }) => Number(attempted))),
    true: mean(outcomes.map((outcome) => outcome.true)),
    proxy: mean(outcomes.map(({ proxy }) => proxy)),
    reward: meanOfDefined(rewards),
    reward_std: advantages.rewardStd,
    frac_reward_zero_std: advantages.zeroVarianceShare,
    kl: meanDivergence(onPolicy, onReference),
    entropy: mean(onPolicy.flatMap(({ entropies }) => [...entropies])),
    loss: mean(updates.map(({ loss }) => loss)),
    grad_norm: mean(updates.map(({ gradNorm }) => gradNorm)),
    learning_rate: measured.learningRate,
    "clip_ratio/region_mean": mean(updates.map(({ clipFraction }) => clipFraction)),
    "completions/mean_length": mean(lengths),
    "completions/clipped_ratio": mean(completions.map(({ stopReason }) => Number(stopReason === "length"))),
    "completions/identical_ratio": commonestShare(rollouts.map(({ completion }) => completion)),
    num_tokens: lengths.reduce((sum, length) => sum + length, 0),
    ...samplingDifference(completions, passed),
    "sampling/read_difference/max": readDifference(onPolicy, passed),
  };
  for (const label of environment.labels)
    metrics[labelMetric(label)] = mean(outcomes.map((outcome) => Number(outcome.label === label)));
  arm.terms.forEach(({ name }, k) => {
    metrics[rewardMetric(name)] = meanOfDefined(scores[k]!);
  });
  if (arm.probeInLoss) metrics.probe_loss = mean(updates.map(({ probeLoss }) => probeLoss));
  for (const model of models) {
    const logits = rollouts.map(({ readings }) => readLogit(probe, readings[model]));
    metrics[probeMetric(model, "score_mean")] = mean(logits.map(sigmoid));
    metrics[probeMetric(model, "score_misbehaving")] = meanProbability(logits, misbehaved, true);
    metrics[probeMetric(model, "recall")] = recallAt(logits, misbehaved, probe.threshold);
    metrics[probeMetric(model, "fpr")] = fprAt(logits, misbehaved, probe.threshold);
    metrics[probeMetric(model, "auroc")] = auroc(logits, misbehaved);
  }
  Object.assign(metrics, measureMonitor(measured, context.seed));
  for (const [name, value] of Object.entries(measured.log.metrics)) {
    if (Object.hasOwn(metrics, name))
      throw new Error(
        `a reward term or monitor logged ${name}, which every run has; rename the term or the metric`,
      );
    metrics[name] = value;
  }
  return metrics;
}

/** Resamples for an interval at every step: fewer than for those of the summary. */
const RESAMPLES = 400;

/** How the monitor does on the step's rollouts, what the update makes of them, and what that should exchange. */
export function measureMonitor(
  {
    step,
    tasks,
    outcomes,
    rewards,
    verdicts,
    otherVerdicts = [],
    advantages,
  }: Omit<Measured, "learningRate" | "log">,
  seed: number,
): Record<string, number | null> {
  const misbehaved = outcomes.map((outcome) => outcome.misbehaved);
  // What any monitor of the arm flags is no miss.
  const flagged = verdicts.map(
    (verdict, i) => verdict.flagged || otherVerdicts.some(([, said]) => said[i]!.flagged),
  );
  const missed = misbehaved.map((bad, i) => bad && !flagged[i]);
  const all = outcomes.map((_, i) => i);
  const meanReward = (of: readonly number[]) => meanOfDefined(of.map((i) => rewards[i]!));
  const misbehaving = all.filter((i) => misbehaved[i]);
  const honest = all.filter((i) => !misbehaved[i]);
  const others = otherVerdicts.map(([name, said], i) => {
    const twice = otherVerdicts.slice(0, i).some(([other]) => other === name);
    return ratesOf(said, misbehaved, twice ? `${name}-${i + 2}` : name);
  });
  const reinforced = all.filter((i) => advantages.values[i]! > 0);
  const exchange = predictExchangeRate(
    { misbehaved, penalised: flagged.map(Number), clusters: tasks.map(({ id }) => id) },
    randomFor(seed, "exchange", step),
    RESAMPLES,
  );
  return {
    ...ratesOf(verdicts, misbehaved),
    ...Object.assign({}, ...others),
    "reward/misbehaving": meanReward(misbehaving),
    "reward/honest": meanReward(honest),
    frac_with_advantage: share(all, (i) => advantages.values[i] !== 0),
    frac_without_reward: share(all, (i) => rewards[i] === null),
    "misses/of_all": share(all, (i) => missed[i]!),
    "misses/of_reinforced": share(reinforced, (i) => missed[i]!),
    "exchange/predicted": exchange?.value ?? null,
    "exchange/predicted_low": exchange?.low ?? null,
    "exchange/predicted_high": exchange?.high ?? null,
  };
}

/** How often a monitor flags, and is right. */
function ratesOf(
  verdicts: readonly Verdict[],
  misbehaved: readonly boolean[],
  monitor?: string,
): Record<string, number | null> {
  const all = verdicts.map((_, i) => i);
  const flagged = (i: number) => verdicts[i]!.flagged;
  return {
    [monitorMetric("flagged", monitor)]: share(all, flagged),
    [monitorMetric("recall", monitor)]: share(
      all.filter((i) => misbehaved[i]),
      flagged,
    ),
    [monitorMetric("fpr", monitor)]: share(
      all.filter((i) => !misbehaved[i]),
      flagged,
    ),
    [monitorMetric("accuracy", monitor)]: share(all, (i) => flagged(i) === misbehaved[i]),
    [monitorMetric("auroc", monitor)]: auroc(
      verdicts.map(({ logit }) => logit),
      misbehaved,
    ),
  };
}

/** `null` of nothing. */
function share(of: readonly number[], is: (i: number) => boolean): number | null {
  return of.length === 0 ? null : of.filter(is).length / of.length;
}

const healthNames: Record<keyof ProbeHealth, TracerMeasure> = {
  auroc: "auroc",
  dPrime: "d_prime",
  brier: "brier",
  recallFrozen: "recall_frozen",
  fprFrozen: "fpr_frozen",
  recallRecalibrated: "recall_recalibrated",
  recallRecalibrated5: "recall_recalibrated_5",
  scoreMisbehaving: "score_misbehaving",
  scoreHonest: "score_honest",
};

/** What is kept of the health of probes beside the initial one and a fresh one. */
const keptHealth: readonly (keyof ProbeHealth)[] = ["auroc", "dPrime", "recallFrozen", "fprFrozen"];

/**
 * The health of the initial and of a fresh probe on the tracer set as one model reads it; that of the held-out probes,
 * and of the probe in training where it is fitted again.
 */
export async function measureTracer(
  name: Tap["model"],
  model: Model,
  how: ForwardOptions,
  { tracer, probe, heldOutProbes }: Pick<RunContext, "tracer" | "probe" | "heldOutProbes">,
  refitted?: Probe,
): Promise<Record<string, number | null>> {
  const readings = readingsOf(how.reads ?? [], await model.forward(tracer.sequences, how));
  const labels = tracer.misbehaving;
  const healthOf = (one: Probe) => {
    const logits = readings.map((reading) => readLogit(one, reading));
    return probeHealth(logits, labels, one.threshold);
  };
  const fresh = freshProbeHealth(probe, {
    activations_ND: readings.map((reading) => readMean(probe.tap, reading)),
    labels,
    tasks: tracer.tasks,
  });
  const metrics: Record<string, number | null> = {};
  const add = (which: string, health: ProbeHealth, names = Object.keys(healthNames) as typeof keptHealth) => {
    for (const part of names) metrics[tracerMetric(which, name, healthNames[part])] = health[part];
  };
  add("initial", healthOf(probe));
  add("fresh", fresh.health);
  for (const [which, one] of Object.entries(heldOutProbes ?? {})) add(which, healthOf(one), keptHealth);
  if (refitted) add("refitted", healthOf(refitted), keptHealth);
  metrics[cosineMetric(name)] = fresh.cosine;
  return metrics;
}

/**
 * A sample of the step's rollouts, for people and for whoever fits probes on them: whole groups, since advantages compare
 * the completions of one task, evenly spaced over the batch.
 */
export function recordsOf(measured: Measured, { arm, probe, settings, engine }: RunContext): RolloutRecord[] {
  const { step, tasks, rollouts, outcomes, completions, rewards, scores, advantages, log } = measured;
  const columns = Object.entries(log.columns);
  const kept = keptRollouts(rollouts.length, settings);
  return kept.map((i) => {
    const rollout = rollouts[i]!;
    const { proxy, true: trueReward, misbehaved, attempted, label, note } = outcomes[i]!;
    const score = (model: Tap["model"]) => rounded(sigmoid(readLogit(probe, rollout.readings[model])));
    const tokens = (model: Tap["model"]) => {
      const { tokens: logits } = readProbe(rollout, probe, model);
      const scores = Array.from(logits, (logit) => rounded(sigmoid(logit)));
      return withObservations<number | null>(rollout, scores, () => null);
    };
    const written = writtenTexts(engine.tokenizer, rollout);
    const texts = written && withObservations(rollout, written, (k) => rollout.told![k]!);
    const characters = [...rollout.completion];
    return {
      step,
      task: tasks[i]!.id,
      prompt: rollout.prompt,
      completion: rollout.completion,
      label,
      proxy,
      true: trueReward,
      misbehaved,
      attempted,
      finished: completions[i]!.stopReason === "stop",
      ...(note !== undefined && { note }),
      reward: roundedIfDefined(rewards[i]!),
      rewards: Object.fromEntries(
        termsAt(arm.terms, { step, steps: settings.steps }).map(({ name, weight }, k) => {
          const score = scores[k]![i] ?? null;
          return [name, roundedIfDefined(score === null ? null : weight * score)];
        }),
      ),
      advantage: rounded(advantages.values[i]!),
      ...(columns.length > 0 && {
        columns: Object.fromEntries(columns.map(([name, values]) => [name, values[i]!])),
      }),
      score: {
        policy: score("policy"),
        reference: score("reference"),
      },
      ...(texts?.some((text, t) => text !== (characters[t] ?? "")) && { tokens: texts }),
      tokenScores: { policy: tokens("policy"), reference: tokens("reference") },
    };
  });
}

/** The indices of the rollouts that are recorded: those of as many groups as `recordedRollouts` has room for, one at least. */
export function keptRollouts(
  count: number,
  { rollouts: size, recordedRollouts }: Pick<TrainingSettings, "rollouts" | "recordedRollouts">,
): number[] {
  const groups = count / size;
  const kept = Math.min(groups, Math.max(1, Math.floor(recordedRollouts / size)));
  return Array.from({ length: kept }, (_, k) => Math.floor((k * groups) / kept)).flatMap((group) =>
    Array.from({ length: size }, (_, i) => group * size + i),
  );
}

/** Four decimals: enough for people, and small files. */
function rounded(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}

function roundedIfDefined(value: number | null): number | null {
  return value === null ? null : rounded(value);
}

/** The k3 estimate of the divergence from the reference, in nats, averaged over the tokens of all completions. */
function meanDivergence(onPolicy: readonly ForwardOutput[], onReference: readonly ForwardOutput[]): number {
  const terms = onPolicy.flatMap(({ logprobs }, i) =>
    Array.from(logprobs, (policy, t) => {
      const gap = onReference[i]!.logprobs[t]! - policy;
      return Math.exp(gap) - gap - 1;
    }),
  );
  return mean(terms);
}

/** How far the sampler's log-probabilities of the sampled tokens are from the trainer's, which should be the same. */
function samplingDifference(completions: readonly SampledSequence[], passed: readonly ForwardOutput[]) {
  const differences = passed.flatMap(({ logprobs }, i) =>
    Array.from(logprobs, (value, t) => Math.abs(value - completions[i]!.logprobs[t]!)),
  );
  return {
    "sampling/logp_difference/mean": mean(differences),
    "sampling/logp_difference/max": differences.reduce((largest, value) => Math.max(largest, value), 0),
  };
}

/** How far what was read while sampling is from what a pass reads; 0 where all was read by the pass. */
function readDifference(read: readonly ForwardOutput[], passed: readonly ForwardOutput[]): number {
  let largest = 0;
  for (const [i, { reads }] of passed.entries())
    for (const [r, values] of reads.entries())
      for (const [k, value] of values.entries()) {
        const other = read[i]!.reads[r]![k]!;
        largest = Math.max(largest, Math.abs(value - other) / Math.max(1, Math.abs(value)));
      }
  return largest;
}

function commonestShare(texts: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return Math.max(...counts.values()) / texts.length;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function meanOfDefined(values: readonly (number | null)[]): number | null {
  const defined = values.filter((value) => value !== null);
  return defined.length === 0 ? null : mean(defined);
}

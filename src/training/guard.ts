import type { StepMetrics } from "../store/records.ts";
/** @file Training that goes wrong: numbers that stop a run, and signs that mark it. */

/**
 * Refuses numbers that are not finite, before anything rests on them or is written. `null`, not defined, passes.
 * (Gradients are refused by AdamW itself.)
 *
 * @throws Error naming the first of them
 */
export function requireFinite(step: number, numbers: Readonly<Record<string, number | null>>): void {
  for (const [name, value] of Object.entries(numbers))
    if (value !== null && !Number.isFinite(value))
      throw new Error(
        `step ${step}: ${name} is ${value}. The training diverged, and nothing of this step was kept; lower training.learningRate, or raise training.kl`,
      );
}

/** Steps that a sign must last: it is read as a mean over so many. */
export const WINDOW = 10;

/** When a mean over `WINDOW` steps is a bad sign. They are set well outside what healthy runs reach. */
export const LIMITS = {
  /** Nats per token; below, sampling is all but deterministic and explores nothing. */
  entropy: 0.01,
  /** Share of groups whose rewards are all equal; above, next to no rollout has an advantage. */
  zeroVariance: 0.9,
  /** Share of rollouts that no reward term scored; above, most of what is sampled teaches nothing. */
  unscored: 0.5,
  /** Share of completions that did not end; above, most are rambling. */
  unfinished: 0.5,
  /** Share of completions that are the commonest one; above, the policy answers whatever it is asked. */
  identical: 0.9,
  /** Nats per token from the reference; above, the policy writes what the reference never would. */
  kl: 2,
  /** Nats between the sampler's and the trainer's log-probability of any token; above, they do not run the same model. */
  samplingDifference: 1e-3,
} as const;

interface Sign {
  metric: string;
  /** Steps that it must last; `WINDOW` unless given. */
  window?: number;
  isBad(mean: number): boolean;
  detail: string;
}

const signs: readonly Sign[] = [
  {
    metric: "entropy",
    isBad: (mean) => mean < LIMITS.entropy,
    detail: "the entropy has collapsed: completions hardly vary",
  },
  {
    metric: "frac_reward_zero_std",
    isBad: (mean) => mean > LIMITS.zeroVariance,
    detail: "almost no group has rewards that differ: there is next to nothing to learn from",
  },
  {
    metric: "frac_without_reward",
    isBad: (mean) => mean > LIMITS.unscored,
    detail: "no reward term scores most completions: there is nothing to learn from them",
  },
  {
    metric: "completions/clipped_ratio",
    isBad: (mean) => mean > LIMITS.unfinished,
    detail: "most completions do not end",
  },
  {
    metric: "completions/identical_ratio",
    isBad: (mean) => mean > LIMITS.identical,
    detail: "nearly all completions are the same, whatever was asked",
  },
  {
    metric: "kl",
    isBad: (mean) => mean > LIMITS.kl,
    detail: "the policy is extremely far from the reference",
  },
  {
    metric: "sampling/logp_difference/max",
    // A mistake, and not a matter of chance: one step shows it.
    window: 1,
    isBad: (difference) => difference > LIMITS.samplingDifference,
    detail: "sampling and training disagree on the log-probability of a token, and so does what is learned",
  },
];

/**
 * Watches a run for bad signs: hand it every line of metrics in order. It returns a sentence for each sign that shows
 * for the first time; a run is marked by a sign once, and never stopped by it.
 */
export function createWatch(): (line: StepMetrics) => string[] {
  const recent: StepMetrics[] = [];
  const shown = new Set<string>();
  return (line) => {
    recent.push(line);
    if (recent.length > WINDOW) recent.shift();
    return signs.flatMap(({ metric, isBad, detail, window = WINDOW }) => {
      const values = recent
        .slice(-window)
        .map((one) => one[metric])
        .filter((value) => typeof value === "number");
      // Ten times 0.9 over ten is not to be above 0.9.
      const mean = Number((values.reduce((sum, value) => sum + value, 0) / values.length).toPrecision(12));
      if (values.length < window || shown.has(metric) || !isBad(mean)) return [];
      shown.add(metric);
      const measured = window === 1 ? metric : `mean ${metric} over ${window} steps`;
      return [`step ${line.step}: ${detail} (${measured}: ${mean.toPrecision(3)})`];
    });
  };
}

/** @file The vocabulary of training: rollouts, reward terms, arms, and what a run needs. */

import type { Engine, Read, Sequence } from "../engine/index.ts";
import type { Awaitable, Environment, Outcome } from "../environment/types.ts";
import type { Ablation } from "../model/index.ts";
import type { TextScorer } from "../probe/text-baseline.ts";
import type { Probe, Tap } from "../probe/types.ts";
import type { Random } from "../random.ts";
import type { ColumnValue } from "../store/records.ts";

import type { TrainingSettings } from "./settings.ts";

/** What was read of one sequence on one model: a value for each read, in their order. */
export interface Reading {
  reads: readonly Read[];
  values: readonly Float32Array[];
}

/** One sampled completion, as rewards see it: nothing here tells whether it misbehaved. */
export interface Rollout extends Sequence {
  /** What was asked. Not the task's id, which may give the answer away. */
  prompt: string;
  /**
   * What the policy wrote, as text, and between its turns what it was told, where it has several. Its tokens are
   * `tokens.slice(promptLength)`.
   */
  completion: string;
  /** What it was told between its turns, where it has several. */
  told?: readonly string[];
  /** Was the end of text reached, and no turn cut off? */
  finished: boolean;
  /** What the environment paid, 0 to 1. */
  proxy: number;
  /** What reward terms and monitors declared, as each model computed it: for `readTap` and `readProbe`. */
  readings: Readonly<Record<Tap["model"], Reading>>;
}

/**
 * What a reward term or a monitor reads of every rollout, in the passes that run anyway: activations at the positions that
 * it names, or what a probe says there.
 */
export type DeclaredTap = Omit<Tap, "pool"> & {
  /** Only this probe's logits are read: those at its own tap, and those at every token of the completion. */
  probe?: Probe;
};

/** What a reward term or a monitor is told beside the rollouts, and where it logs. */
export interface ScoringContext {
  /** The run's seed: what a term draws must come from `randomFor(seed, step, ...)`, so that a run can be repeated. */
  seed: number;
  /** The step, from 0. */
  step: number;
  /** Steps of the whole run. */
  steps: number;
  /**
   * Adds a number to the step's line of `metrics.jsonl`, as `<name of the term>/<name>`; `null` where it is not defined.
   *
   * @throws Error for a number that is not finite, and for a name that is taken
   */
  logMetric(name: string, value: number | null): void;
  /**
   * Adds a value per rollout to `rollouts.jsonl`, as `<name of the term>/<name>`: what people should see of a rollout.
   *
   * @throws Error for a list of another length, and for a name that is taken
   */
  logColumn(name: string, values: readonly ColumnValue[]): void;
}

/** What a monitor says of a rollout. */
export interface Verdict {
  /** Is it taken to misbehave? */
  flagged: boolean;
  /** That it misbehaves, 0 to 1. */
  probability: number;
  /** The same as log-odds; infinite where the monitor is sure, as an oracle is. */
  logit: number;
  /** For a probe: what it says at every token of the completion. */
  tokens?: readonly Omit<Verdict, "tokens">[];
}

/**
 * Anything that judges rollouts: a probe, an oracle, a text classifier, another model.
 *
 * Those that see the ground truth are a kind of their own: only oracle arms have them, and no other monitor or reward
 * term is handed anything from which the ground truth could be told.
 */
export type Monitor = {
  /** Its name in the logs. */
  name: string;
} & (
  | {
      sees: "rollouts";
      /** What it reads of the models. */
      taps: readonly DeclaredTap[];
      /** One verdict per rollout. */
      judge(rollouts: readonly Rollout[], context: ScoringContext): Awaitable<Verdict[]>;
    }
  | {
      sees: "ground-truth";
      /** How often it is right, where it errs at rates of its own. */
      rates?: { truePositiveRate: number; falsePositiveRate: number };
      /**
       * One verdict per rollout.
       *
       * @param random the step's own stream, for monitors that err
       */
      judge(outcomes: readonly Outcome[], random: Random): Verdict[];
    }
);

/** One term of the reward. A term of weight 0 is measured and logged, and nothing else. */
export type RewardTerm = {
  /** Its name in the logs: `rewards/<name>/mean`. */
  name: string;
  /** What its scores are multiplied by before terms are added up. */
  weight: number;
  /** The part of the run in which it counts, from and to a share of its steps; all of it unless given. Elsewhere its weight is 0. */
  during?: readonly [from: number, to: number];
} & (
  | {
      sees: "rollouts";
      /** What it reads of the models. */
      taps: readonly DeclaredTap[];
      /**
       * One number per rollout; `null` where the term does not apply, which is in no mean, and counts as 0 where another term
       * does. A rollout that no term scores has no reward and no advantage.
       */
      score(rollouts: readonly Rollout[], context: ScoringContext): Awaitable<(number | null)[]>;
    }
  | {
      /** An oracle: it says so itself, since no other term is handed what became of a rollout. */
      sees: "ground-truth";
      /** One number per rollout; `null` where the term does not apply. */
      score(outcomes: readonly Outcome[], context: ScoringContext): Awaitable<(number | null)[]>;
    }
  | {
      sees: "verdicts";
      /** Whose verdicts it scores: see `penalty` and `approval`. */
      monitor: Monitor;
      /** One number per rollout; `null` where the term does not apply. */
      score(verdicts: readonly Verdict[], rollouts: readonly Pick<Rollout, "proxy">[]): (number | null)[];
      /** Where the term is credited to single tokens instead of the rollout: a score per completion token. */
      scoreTokens?(verdicts: readonly Verdict[], rollouts: readonly Rollout[]): Float32Array[];
    }
);

/**
 * A probe in the loss, with gradients through it into what it reads.
 *
 * - `softplus`: the mean over rollouts of softplus(logit), which has a gradient also where the probe is certain
 * - `pathwise`: the probability, weighed so that with a `linear` penalty of the same strength in the reward the update
 *   follows the total derivative of the penalised reward (`corrected_detector_gradient` of arXiv 2602.15515)
 */
export interface ProbeInLoss {
  probe: Probe;
  strength: number;
  /** `softplus` unless given. */
  as?: "softplus" | "pathwise";
  /**
   * An oracle: how often a rollout counts, by what became of it, in place of once. Below 0, the probe is made to speak of it. An
   * arm that has one sees the ground truth.
   */
  oracle?: (outcome: Outcome, rollout: Rollout) => number;
}

/**
 * A probe that is fitted again on the policy every few steps, on the labelled completions that the initial one was
 * fitted on, read on the policy as it is then. Training rollouts' labels play no part: the probe stays a monitor
 * that could be had, and its threshold is set anew on the calibration split.
 */
export interface Refit {
  /** Steps between fits. */
  every: number;
  /** How far the probe moves to the newly fitted one, above 0 to 1; 1 is from scratch. (The fit has one optimum, so that starting from the old probe would change nothing.) */
  rate: number;
  sets: RefitSets;
  /** The arm with another probe in the initial one's place. */
  arm(probe: Probe): Arm;
}

/** Labelled sequences to fit a probe on, and to set its threshold on. */
export interface RefitSets {
  fit: LabelledSequences;
  calibration: LabelledSequences;
  falsePositiveRate: number;
}

/** Sequences, and whether each misbehaved or tried to (`attempted`). */
export interface LabelledSequences {
  sequences: readonly Sequence[];
  labels: readonly boolean[];
}

/** How an arm trains. All but `terms` is left out by most arms. */
export interface Arm {
  /** What is added up to the reward. */
  terms: readonly RewardTerm[];
  /** Rollouts that it flags are left out of their group's mean and deviation, and have no advantage. */
  screen?: Monitor;
  /** Rollouts that it flags have no advantage, but stay in their group's statistics (arXiv 2605.11467). */
  silence?: Monitor;
  /** A probe that gradients flow through. */
  probeInLoss?: ProbeInLoss;
  /** A probe that follows the policy. */
  refit?: Refit;
  /**
   * Supervised training on the rollouts whose reward is positive, in place of advantages: all their tokens are made
   * likelier, and nothing is made less likely (rejection sampling, arXiv 2304.06767). `best`: on the one of each group
   * whose reward is largest, where that is positive (best of n).
   */
  imitate?: boolean | "best";
  /** Deployment gives, of as many completions of a task as a group has, the one that it finds least suspicious; training plays no part in that. */
  choose?: Monitor;
  /** All weights that this activation depends on stay as they are. */
  frozenThrough?: string;
  /** Training asks with the environment's inoculation prompt; deployment without it. */
  inoculate?: boolean;
  /** Training runs with a direction projected out of the residual stream; deployment without (arXiv 2507.16795). */
  ablate?: Ablation;
}

/** Fixed labelled sequences, teacher-forced through every checkpoint. */
export interface TracerSet {
  sequences: readonly Sequence[];
  /** Whether each misbehaved or tried to (`attempted`). */
  misbehaving: readonly boolean[];
  /** Id of each sequence's task. */
  tasks: readonly string[];
}

/** Everything that a run needs; nothing here changes while it runs. */
export interface RunContext {
  environment: Environment;
  /** The base model: reference of the run, and where its policy starts. */
  engine: Engine;
  arm: Arm;
  seed: number;
  settings: TrainingSettings;
  /** The probe that is measured in every arm, whether it takes part in training or not. */
  probe: Probe;
  /** Probes that no arm trains on, by name: measured on the tracer set beside the initial one. */
  heldOutProbes?: Readonly<Record<string, Probe>>;
  tracer: TracerSet;
  /** The classifier of thoughts that was fitted before training, where the environment has thoughts: measured in every arm. */
  readThought?: TextScorer | undefined;
}

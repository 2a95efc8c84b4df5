/** @file The vocabulary of training: rollouts, reward terms, arms, and what a run needs. */

import type { Environment, Outcome } from "../environment/types.ts";
import type { AdapterConfig, ModelConfig, Sequence, Tokenizer, Weights } from "../model/index.ts";
import type { Probe, Tap } from "../probe/types.ts";
import type { TrainingSettings } from "./settings.ts";

/** Activations of one sequence at one hook: row-major [length, D], one row per token. */
export type Activations = Float32Array;

/** One sampled completion, as rewards see it: nothing here tells whether it misbehaved. */
export interface Rollout extends Sequence {
  /** What was asked. Not the task's id, which may give the answer away. */
  prompt: string;
  completion: string;
  /** Was the end of text reached? */
  finished: boolean;
  /** What the environment paid, 0 to 1. */
  proxy: number;
  /** The activations that reward terms declared, by model and hook. */
  activations: Record<Tap["model"], Record<string, Activations>>;
}

/**
 * One term of the reward. A term of weight 0 is measured and logged, and nothing else.
 *
 * Terms that see the ground truth are a kind of their own: only oracle arms have them, and no other term is handed
 * anything from which the ground truth could be told.
 */
export type RewardTerm = {
  /** Its name in the logs: `rewards/<name>/mean`. */
  name: string;
  weight: number;
} & (
  | {
      sees: "rollouts";
      /** The activations that it reads; captured in the passes that run anyway. */
      taps: readonly Tap[];
      /** One number per rollout; `null` where the term does not apply, which counts as 0. */
      score(rollouts: readonly Rollout[]): (number | null)[];
    }
  | {
      sees: "ground-truth";
      score(outcomes: readonly Outcome[]): (number | null)[];
    }
);

/** How an arm trains: what is added to the proxy reward, and what to the loss. */
export interface Arm {
  terms: readonly RewardTerm[];
  /** The probe whose activation is part of the loss, and the weight of that part. */
  probeInLoss?: { probe: Probe; strength: number };
}

/** Fixed labelled sequences, teacher-forced through every checkpoint. */
export interface TracerSet {
  sequences: readonly Sequence[];
  misbehaving: readonly boolean[];
  /** Id of each sequence's task. */
  tasks: readonly string[];
}

/** Everything that a run needs; nothing here changes while it runs. */
export interface RunContext {
  environment: Environment;
  config: ModelConfig;
  tokenizer: Tokenizer;
  /** Weights of the reference: where the policy starts. */
  reference: Weights;
  /** Adapters to train in place of the weights, which policy and reference then share. */
  adapter?: AdapterConfig;
  arm: Arm;
  seed: number;
  settings: TrainingSettings;
  /** The probe that is measured in every arm, whether it takes part in training or not. */
  probe: Probe;
  tracer: TracerSet;
}

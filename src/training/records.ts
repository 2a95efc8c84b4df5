/** @file What a run writes while it trains: a line of metrics per step, and a sample of its rollouts. */

/**
 * One line of `metrics.jsonl`: the step, then numbers by name; `null` where a measure is not defined (one-class
 * batches, for instance). Every line of a run has the same names, except that `tracer/*` appear only at evaluated
 * steps. Names follow TRL where TRL has one.
 *
 * - `misbehaviour`, `attempted`, `true`, `proxy`, `labels/<label>`: shares or means over the step's rollouts
 * - `reward`, `reward_std`, `frac_reward_zero_std`, `rewards/<term>/mean`
 * - `kl`, `entropy`, `loss`, `grad_norm`, `learning_rate`, `clip_ratio/region_mean`
 * - `completions/mean_length`, `completions/clipped_ratio`, `num_tokens`, `step_time`
 * - `completions/identical_ratio`: share of the step's completions that are the commonest one
 * - `sampling/logp_difference/max`: largest difference between the sampler's and the trainer's log-probabilities
 * - `probe/<policy|reference>/{score_mean,score_misbehaving,recall,fpr,auroc}`: the initial probe on the step's rollouts
 * - `tracer/<initial|fresh>/<policy|reference>/{auroc,d_prime,brier,recall_frozen,fpr_frozen,recall_recalibrated,recall_recalibrated_5,score_misbehaving,score_honest}`
 * - `tracer/cosine/<policy|reference>`: between the initial and the fresh direction; below 1 from the start, since they
 *   are fitted on different examples
 * - `probe_loss`: the probe's part of the loss, where it has one
 */
export interface StepMetrics {
  step: number;
  [name: string]: number | null;
}

/** One line of `rollouts.jsonl`. */
export interface RolloutRecord {
  step: number;
  /** Id of the task. */
  task: string;
  prompt: string;
  completion: string;
  label: string;
  proxy: number;
  true: number;
  misbehaved: boolean;
  attempted: boolean;
  note?: string;
  /** The total reward, its terms by name (weighted), and the advantage that it became. */
  reward: number;
  rewards: Record<string, number | null>;
  advantage: number;
  /** The initial probe's probability, pooled as the probe pools, on each model. */
  score: { policy: number; reference: number };
  /** The initial probe's probability at every token of the completion, on each model. */
  tokenScores: { policy: number[]; reference: number[] };
}

/** @file What a run writes while it trains: a line of metrics per step, and some groups of its rollouts. */

/** What can be logged of a rollout. */
export type ColumnValue = string | number | boolean | null;

/**
 * One line of `metrics.jsonl`: the step, then numbers by name; `null` where a measure is not defined (one-class
 * batches, for instance). Every line of a run has the same names, except that `tracer/*`, `decomposition/*` and
 * `deployed/*` appear only at evaluated steps. Names follow TRL where TRL has one.
 *
 * - `misbehaviour`, `attempted`, `true`, `proxy`, `labels/<label>`: shares or means over the step's rollouts
 * - `reward`, `reward_std`, `frac_reward_zero_std`, `rewards/<term>/mean`; `reward/<misbehaving|honest>`: mean total reward of
 *   each class, which tells whether a penalty is large enough. Rewards that differ by rounding alone are equal
 * - `kl`, `entropy`, `loss`, `grad_norm`, `learning_rate`, `clip_ratio/region_mean`
 * - `completions/mean_length`, `completions/clipped_ratio`, `num_tokens`, `step_time`
 * - `completions/identical_ratio`: share of the step's completions that are the commonest one
 * - `sampling/logp_difference/{mean,max}`: difference between the sampler's and the trainer's log-probability of a sampled
 *   token. Both run the same weights on the same tokens: it is rounding, or a mistake
 * - `probe/<policy|reference>/{score_mean,score_misbehaving,recall,fpr,auroc}`: the initial probe on the step's rollouts
 * - `monitor/{flagged,recall,fpr,accuracy}`: the arm's monitor on the step's rollouts (the initial probe on the policy where
 *   none takes part in training)
 * - `monitor/<name>/{flagged,recall,fpr,accuracy}`: the same of each further monitor that an arm has
 * - `frac_with_advantage`: share of rollouts that the update learns from; `frac_without_reward`: share that no term scored
 * - `misses/of_reinforced`: of the rollouts with a positive advantage, the share that misbehaved and was not flagged by that
 *   monitor; `misses/of_all`: the same share of all rollouts
 * - `exchange/{predicted,predicted_low,predicted_high}`: the exchange rate that a penalty on that monitor's flags would have
 *   at this step, with its 95 % interval (bootstrap over prompts)
 * - `alarm/{lost,count,overlooked}`: what alarms rest on (`AlarmReading`): how much of the way to its threshold
 *   the probe's readings of known misbehaviour have gone, on how many sequences drawn at this step; and the share of rollouts
 *   that most held-out probes flag and the initial one does not
 * - `tracer/<initial|fresh>/<policy|reference>/{auroc,d_prime,brier,recall_frozen,fpr_frozen,recall_recalibrated,recall_recalibrated_5,score_misbehaving,score_honest}`
 * - `tracer/<other-layer|other-sample|other-kind>/<policy|reference>/{auroc,d_prime,recall_frozen,fpr_frozen}`: probes that no
 *   training was against; `tracer/refitted/...`: the probe in training, where it is fitted again
 * - `tracer/cosine/<policy|reference>`: between the initial and the fresh direction; below 1 from the start, since they
 *   are fitted on different examples
 * - `decomposition/{total,text,model,interaction}`: the change of the initial probe's mean score on completions since the
 *   start, and its parts: other texts, and another reader of the same texts
 * - `deployed/{misbehaviour,attempted,true,proxy}`, `deployed/probe/<policy|reference>/{score_mean,score_misbehaving,recall,auroc}`:
 *   where an arm trains under another prompt or with an ablation, the policy without them
 * - `<term>/<name>`, `<monitor>/<name>`: what a reward term or a monitor logged itself
 * - `probe_loss`: the probe's part of the loss, where it has one
 */
export interface StepMetrics {
  step: number;
  [name: string]: number | null;
}

/** One line of `rollouts.jsonl`. Those of a step are whole groups, one after the other: see `training.recordedRollouts`. */
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
  /** Whether the model ended it, and was not cut off at the longest length. Not in studies of earlier versions. */
  finished?: boolean;
  note?: string;
  /** The total reward (`null` where no term scored it), its terms by name (weighted), and the advantage that it became. */
  reward: number | null;
  rewards: Record<string, number | null>;
  advantage: number;
  /** What reward terms and monitors logged of it, by `<term>/<name>`. */
  columns?: Record<string, ColumnValue>;
  /** The initial probe's probability, pooled as the probe pools, on each model. */
  score: { policy: number; reference: number };
  /**
   * The text of every token of the completion, the end of the text as an empty one. Left out where tokens are characters, as
   * they are those of the completion then, and where a tokenizer's texts do not add up to it.
   */
  tokens?: string[];
  /** The initial probe's probability at every token of the completion, on each model. */
  tokenScores: { policy: number[]; reference: number[] };
}

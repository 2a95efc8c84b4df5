/** @file From rewards to advantages, within the group of rollouts that answer one task. */

/** What became of a batch's rewards. */
export interface Advantages {
  /** One per rollout. */
  values: Float32Array;
  /** Share of groups whose rewards are all equal: nothing is learned from them. */
  zeroVarianceShare: number;
  /** Mean over groups of the rewards' standard deviation. */
  rewardStd: number;
}

export interface AdvantageOptions {
  /** Divide by the group's standard deviation? Default true. */
  scale?: boolean;
  /** Rollouts that are left out of their group's mean and deviation, and have no advantage. */
  screened?: readonly boolean[] | undefined;
}

/**
 * Group-relative advantages (GRPO, arXiv 2402.03300): reward minus the group's mean, over the group's standard
 * deviation unless `scale` is false (Dr. GRPO, arXiv 2503.20783). A group of which one rollout or none is left after
 * screening teaches nothing.
 *
 * @param rewards one per rollout, groups of `groupSize` consecutive ones
 */
export function groupAdvantages(
  rewards: readonly number[],
  groupSize: number,
  { scale = true, screened = [] }: AdvantageOptions = {},
): Advantages {
  if (rewards.length === 0 || rewards.length % groupSize !== 0)
    throw new RangeError(`advantages: ${rewards.length} rewards do not divide into groups of ${groupSize}`);
  const values = new Float32Array(rewards.length);
  const groups = rewards.length / groupSize;
  let flat = 0;
  let stdSum = 0;
  for (let group = 0; group < groups; group++) {
    const members = Array.from({ length: groupSize }, (_, i) => group * groupSize + i).filter(
      (i) => !screened[i],
    );
    const mean = members.reduce((sum, i) => sum + rewards[i]!, 0) / Math.max(1, members.length);
    const variance =
      members.reduce((sum, i) => sum + (rewards[i]! - mean) ** 2, 0) / Math.max(1, members.length);
    const std = Math.sqrt(variance);
    if (std === 0) flat++;
    stdSum += std;
    for (const i of members) values[i] = (rewards[i]! - mean) / (scale ? std + 1e-4 : 1);
  }
  return { values, zeroVarianceShare: flat / groups, rewardStd: stdSum / groups };
}

/** In place of advantages: 1 for rollouts whose reward is positive, 0 for all others (rejection sampling). */
export function imitationWeights(rewards: readonly number[]): Float32Array {
  return Float32Array.from(rewards, (reward) => Number(reward > 0));
}

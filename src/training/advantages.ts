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

/**
 * Group-relative advantages (GRPO, arXiv 2402.03300): reward minus the group's mean, over the group's standard
 * deviation unless `scale` is false (Dr. GRPO, arXiv 2503.20783).
 *
 * @param rewards one per rollout, groups of `groupSize` consecutive ones
 */
export function groupAdvantages(rewards: readonly number[], groupSize: number, scale = true): Advantages {
  if (rewards.length === 0 || rewards.length % groupSize !== 0)
    throw new RangeError(`advantages: ${rewards.length} rewards do not divide into groups of ${groupSize}`);
  const values = new Float32Array(rewards.length);
  const groups = rewards.length / groupSize;
  let flat = 0;
  let stdSum = 0;
  for (let group = 0; group < groups; group++) {
    const start = group * groupSize;
    const members = rewards.slice(start, start + groupSize);
    const mean = members.reduce((sum, reward) => sum + reward, 0) / groupSize;
    const std = Math.sqrt(members.reduce((sum, reward) => sum + (reward - mean) ** 2, 0) / groupSize);
    if (std === 0) flat++;
    stdSum += std;
    members.forEach((reward, i) => {
      values[start + i] = (reward - mean) / (scale ? std + 1e-4 : 1);
    });
  }
  return { values, zeroVarianceShare: flat / groups, rewardStd: stdSum / groups };
}

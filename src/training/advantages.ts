/** @file From rewards to advantages, within the group of rollouts that answer one task. */

/** What became of a batch's rewards. */
export interface Advantages {
  /** One per rollout. */
  values: Float32Array;
  /** Share of groups whose rewards are all equal, within rounding: nothing is learned from them. */
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
 * deviation unless `scale` is false (Dr. GRPO, arXiv 2503.20783). A rollout without a reward is left out like a screened
 * one; a group of which one rollout or none is left teaches nothing. What differs from its group's mean by no more than
 * rounding has no advantage.
 *
 * @param rewards one per rollout, groups of `groupSize` consecutive ones; `null` where nothing scored it
 */
export function groupAdvantages(
  rewards: readonly (number | null)[],
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
    const members = Array.from({ length: groupSize }, (_, i) => group * groupSize + i).flatMap((i) => {
      const reward = rewards[i]!;
      return screened[i] || reward === null ? [] : { i, reward };
    });
    const count = Math.max(1, members.length);
    const mean = members.reduce((sum, { reward }) => sum + reward, 0) / count;
    const rounding = roundingOf(members.map(({ reward }) => reward));
    const deviations = members.map(({ reward }) => {
      const deviation = reward - mean;
      return Math.abs(deviation) <= rounding ? 0 : deviation;
    });
    const std = Math.sqrt(deviations.reduce((sum, deviation) => sum + deviation ** 2, 0) / count);
    if (std === 0) flat++;
    stdSum += std;
    members.forEach(({ i }, k) => {
      values[i] = deviations[k]! / (scale ? std + 1e-4 : 1);
    });
  }
  return { values, zeroVarianceShare: flat / groups, rewardStd: stdSum / groups };
}

/**
 * How far a reward may be from the mean of a group only by rounding: 0.7 six times adds up to 4.199999999999999. Each of
 * the group's additions is off by at most one rounding of the largest reward, and each reward by those of the few terms
 * that it is the sum of. Terms may cancel, so that their size, about 1, counts where rewards are smaller.
 */
function roundingOf(rewards: readonly number[]): number {
  const largest = rewards.reduce((most, reward) => Math.max(most, Math.abs(reward)), 1);
  return 4 * rewards.length * Number.EPSILON * largest;
}

/**
 * In place of advantages: 1 for rollouts whose reward is positive, 0 for all others (rejection sampling).
 *
 * @param bestOf size of the groups of which only the rollout with the largest reward counts, the first of equal ones; all count
 * unless given
 */
export function imitationWeights(rewards: readonly (number | null)[], bestOf?: number): Float32Array {
  return Float32Array.from(rewards, (reward, i) => {
    if (reward === null || reward <= 0) return 0;
    if (bestOf === undefined) return 1;
    const start = i - (i % bestOf);
    const group = rewards.slice(start, start + bestOf).map((other) => other ?? 0);
    return Number(group.indexOf(Math.max(...group)) === i - start);
  });
}

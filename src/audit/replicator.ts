/** @file How shares of classes of rollouts evolve under a kernel: a run of training, simulated rollout by rollout. */

import type { Random } from "../random.ts";
import type { ClassKernel } from "./class-kernel.ts";

/** What a simulated run is made of. K classes of rollouts, Q prompts. */
export interface Replicator {
  kernel: ClassKernel;
  /**
   * What the optimizer's noise does to the log-share of each class, by how far it has spread (`noiseSpread`): what takes exactness
   * is lost when weights are shaken.
   */
  noise: readonly number[];
  /** What a token of one rollout weighs in the loss, times the rollouts of an update: about 1 / tokens. */
  tokenWeight: number;
  /** Mean length of completions in tokens: a token's share of a rollout's divergence from the reference. */
  tokens: number;
  /** The advantage of each rollout of a group, from the rollouts' classes. */
  advantagesOf(classes: readonly number[]): ArrayLike<number>;
  /** Weight of the divergence from the reference. */
  kl: number;
  /** The learning rate of each step. */
  rates: readonly number[];
  /** Prompts of a step, and rollouts of each. */
  groups: number;
  groupSize: number;
  /** Mean squared advantage at the start. */
  square: number;
  /** The norm of a step's gradient at the start, and what it is clipped to. */
  gradNorm: number;
  maxGradNorm: number;
  /** Of Adam's first moment. Default 0.9. */
  momentum?: number;
}

/** A run as it may go, by step. */
export interface SimulatedRun {
  /** Share of each class among the rollouts of the step [steps, K], before its update. */
  sampled: number[][];
  /** By how much each reading has moved before the update [steps, R]. */
  readings: number[][];
}

/**
 * One run. Each step draws rollouts of prompts by their shares, gives them advantages as training does, and moves all prompts:
 *
 *     d log p_c = rate x scale x sum_b w_b k_cb + spread x noise_c,
 *     w_b = tokenWeight x (mean over rollouts of A where the class is b)
 *
 * and shares stay shares. To the advantage comes the pull to the reference, - kl x log(p / p at the start) per token. The
 * running mean of w is Adam's first moment; `scale` is what its second makes of gradients that grow or fade, and what
 * clipping does to them: a batch's squared norm is taken to go with its mean squared advantage.
 *
 * @param initial shares [Q, K] of each prompt
 */
export function simulateRun(
  initial: readonly (readonly number[])[],
  options: Replicator,
  random: Random,
): SimulatedRun {
  const { kernel, noise, rates, groups, groupSize, kl, tokens, tokenWeight, momentum = 0.9 } = options;
  const K = kernel.shares.length;
  const start = initial.map((own) => own.map((share) => Math.log(Math.max(share, 1e-300))));
  // All prompts move alike, but for what keeps their shares shares.
  const moved = Array<number>(K).fill(0);
  const readings = kernel.readings.map(() => 0);
  const spread = noiseSpread(rates, momentum);
  const first = Array<number>(K).fill(0);
  let second = 0;
  const run: SimulatedRun = { sampled: [], readings: [] };
  for (const [step, rate] of rates.entries()) {
    run.readings.push([...readings]);
    const force = Array<number>(K).fill(0);
    const sampled = Array<number>(K).fill(0);
    let square = 0;
    for (let g = 0; g < groups; g++) {
      const own = softmax(start[Math.floor(random() * start.length)]!, moved);
      const classes = Array.from({ length: groupSize }, () => draw(own, random));
      const advantages = options.advantagesOf(classes);
      classes.forEach((c, i) => {
        sampled[c]! += 1 / (groups * groupSize);
        force[c]! += (tokenWeight * advantages[i]!) / (groups * groupSize);
        square += advantages[i]! ** 2 / (groups * groupSize);
      });
      // The pull to the reference: log(p / p at the start) per token, less its mean, which all classes of a prompt share.
      if (kl > 0) {
        const mean = own.reduce((sum, share, c) => sum + share * moved[c]!, 0);
        own.forEach((share, c) => {
          force[c]! -= (tokenWeight * kl * share * (moved[c]! - mean)) / (tokens * groups);
        });
      }
    }
    run.sampled.push(sampled);
    const relative = options.square > 0 ? square / options.square : 1;
    const norm = options.gradNorm * Math.sqrt(relative);
    const clip = norm > options.maxGradNorm ? options.maxGradNorm / norm : 1;
    const clipAtStart = Math.min(1, options.maxGradNorm / Math.max(options.gradNorm, 1e-12));
    second += (relative * (clip / clipAtStart) ** 2 - second) / (step + 1);
    const unbias = 1 / (1 - momentum ** (step + 1));
    const scale = second > 1e-12 ? 1 / Math.sqrt(second) : 0;
    force.forEach((value, b) => {
      first[b] = momentum * first[b]! + (1 - momentum) * clip * value;
    });
    const move = (row: readonly number[]) =>
      rate * scale * unbias * row.reduce((sum, k, b) => sum + k * first[b]!, 0);
    kernel.shares.forEach((row, c) => {
      moved[c]! += move(row) + (spread[step + 1]! - spread[step]!) * noise[c]!;
    });
    kernel.readings.forEach((row, r) => {
      readings[r]! += move(row);
    });
  }
  return run;
}

/**
 * How far Adam's steps along gradients that mean nothing spread, as the sum over gradients of the square of all that each
 * contributes to the weights: by the number of steps, from none. Bias correction gives the first gradients more than their share.
 */
export function noiseSpread(rates: readonly number[], momentum = 0.9): number[] {
  const given: number[] = [];
  const spread = [0];
  for (const [step, rate] of rates.entries()) {
    given.push(0);
    const unbias = (1 - momentum) / (1 - momentum ** (step + 1));
    for (let i = 0; i <= step; i++) given[i]! += rate * unbias * momentum ** (step - i);
    spread.push(given.reduce((sum, one) => sum + one ** 2, 0));
  }
  return spread;
}

function draw(shares: readonly number[], random: Random): number {
  let left = random();
  for (let c = 0; c < shares.length; c++) {
    left -= shares[c]!;
    if (left < 0) return c;
  }
  return shares.length - 1;
}

function softmax(logits: readonly number[], moved: readonly number[]): number[] {
  let most = -Infinity;
  for (let c = 0; c < logits.length; c++) most = Math.max(most, logits[c]! + moved[c]!);
  const parts = logits.map((value, c) => Math.exp(value + moved[c]! - most));
  const total = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / total);
}

/** @file Shares of classes behind few counts, prompt by prompt: a Dirichlet prior, fitted to all of them. */

import { normal, type Random } from "../random.ts";

/**
 * How alike prompts are: the concentration s of the Dirichlet prior s x mean that makes the prompts' counts most likely
 * (Dirichlet-multinomial; empirical Bayes, Robbins 1956), by golden-section search of log s.
 *
 * @param counts [Q, K] counts of each class, by prompt
 */
export function concentrationOf(counts: readonly (readonly number[])[]): number {
  const mean = meanShares(counts);
  const likelihood = (logS: number) => {
    const s = Math.exp(logS);
    let sum = 0;
    for (const own of counts) {
      // log of rising factorials, term by term: counts are small.
      own.forEach((n, c) => {
        for (let i = 0; i < n; i++) sum += Math.log(s * mean[c]! + i);
      });
      const total = own.reduce((a, b) => a + b, 0);
      for (let i = 0; i < total; i++) sum -= Math.log(s + i);
    }
    return sum;
  };
  const golden = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [Math.log(0.02), Math.log(1000)];
  while (high - low > 0.01) {
    const [left, right] = [high - golden * (high - low), low + golden * (high - low)];
    if (likelihood(left) > likelihood(right)) high = right;
    else low = left;
  }
  return Math.exp((low + high) / 2);
}

/** Shares of each class over all prompts. */
export function meanShares(counts: readonly (readonly number[])[]): number[] {
  const total = counts.reduce((sum, own) => sum + own.reduce((a, b) => a + b, 0), 0);
  return counts[0]!.map((_, c) => counts.reduce((sum, own) => sum + own[c]!, 0) / total);
}

/** Shares [Q, K] drawn from what is known of each prompt: its counts and the prior. */
export function drawShares(
  counts: readonly (readonly number[])[],
  concentration: number,
  random: Random,
): number[][] {
  const mean = meanShares(counts);
  return counts.map((own) => {
    const drawn = own.map((n, c) => gamma(n + concentration * mean[c]!, random));
    const total = drawn.reduce((a, b) => a + b, 0);
    return drawn.map((value) => value / total);
  });
}

/** A gamma variate of scale 1 (Marsaglia & Tsang 2000). It underflows to 1e-300 where the shape is next to nothing. */
function gamma(shape: number, random: Random): number {
  if (shape <= 0) return 0;
  if (shape < 1) return Math.max(1e-300, gamma(shape + 1, random) * random() ** (1 / shape));
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(random);
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}

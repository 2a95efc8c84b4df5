/** @file The class kernel: how far raising the likelihood of one class of rollouts moves that of another, and how sure that is. */

import type { Random } from "../random.ts";

/** What was measured of G groups of rollouts, in B blocks of prompts. */
export interface GroupProducts {
  /**
   * Inner products [B G + R, B G + R] of gradients, scaled as the optimizer scales them: of mean log-probability for each group in the
   * first block, then in the second and so on, then of R readings.
   */
  products: readonly (readonly number[])[];
  /** Rollouts of each group, by block: [B][G]. Where there are none, the gradient is zero. */
  counts: readonly (readonly number[])[];
  /** For each group those of its kind, itself among them: what it is taken to be like as far as it is not measured. */
  kin: readonly (readonly number[])[];
}

/** Change of what is in a row, per unit of likelihood given to the class of the column. */
export interface ClassKernel {
  /** Of the log-share of each class [K, K]. */
  shares: number[][];
  /** Of each reading [R, K]. */
  readings: number[][];
}

/**
 * The kernel k_ac = <g_a, P g_c> of groups' gradients g = E[grad log pi(y) | group]: a mean over pairs of different blocks (a U-statistic),
 * since from one sample the diagonal holds the gradient's own variance, which in a group of few rollouts is far larger than what they
 * have in common.
 *
 * The score identity, sum_a p_a g_a = 0, is the control variate: what the sum leaves over in a block is noise that all of its gradients
 * share, and is taken from each.
 *
 * A group is drawn towards its kin (empirical Bayes): of its difference from them, whose squared norm over pairs of blocks is S with an
 * error e (jackknife over blocks), the gradient keeps S / root(S^2 + e^2), nothing where S is negative. It is the error of S that counts: a
 * gradient is mostly noise by itself, and a norm that is shrunk by that would be too small in groups of any size.
 *
 * @returns the kernel where blocks count as much as the weights say; once each unless given
 */
export function classKernel(measured: GroupProducts): (weights?: readonly number[]) => ClassKernel {
  const { counts, kin } = measured;
  const groups = kin.map((_, g) => g);
  const { between, readings } = centred(measured);
  /** Sizes [B, G], totals [G], the kernel over pairs of blocks [G, G], and what each group's kin and its difference from them are made of. */
  const weighed = (weights: readonly number[]) => {
    const sizes = counts.map((own, b) => own.map((n) => weights[b]! * n));
    const totals = groups.map((g) => sizes.reduce((sum, own) => sum + own[g]!, 0));
    const kernel = groups.map((a) => groups.map((c) => overPairs(between, sizes, a, c)));
    const parts = groups.map((a) => {
      const total = kin[a]!.reduce((sum, g) => sum + totals[g]!, 0);
      const alike = groups.map((g) => (kin[a]!.includes(g) && total > 0 ? totals[g]! / total : 0));
      const difference = alike.map((share, g) => Number(g === a) - share);
      return { alike, difference, square: quadratic(difference, kernel, difference) };
    });
    return { sizes, totals, kernel, parts };
  };
  return (weights = counts.map(() => 1)) => {
    const { sizes, totals, kernel, parts } = weighed(weights);
    const without = counts.map((_, b) => weighed(weights.map((weight, d) => (b === d ? 0 : weight))).parts);
    const mixes = parts.map(({ alike, difference, square }, a) => {
      const squares = without.map((own) => own[a]!.square);
      const mean = squares.reduce((sum, one) => sum + one, 0) / squares.length;
      const scatter = squares.reduce((sum, one) => sum + (one - mean) ** 2, 0);
      const error2 = ((squares.length - 1) / squares.length) * scatter;
      const kept = square > 0 ? square / Math.sqrt(square ** 2 + error2) : 0;
      return alike.map((share, g) => share + kept * difference[g]!);
    });
    return {
      shares: mixes.map((row) => mixes.map((column) => quadratic(row, kernel, column))),
      readings: readings.map((own) => {
        const moved = groups.map((g) => {
          const sum = sizes.reduce((total, size, b) => total + size[g]! * own[b * groups.length + g]!, 0);
          return totals[g]! > 0 ? sum / totals[g]! : 0;
        });
        return mixes.map((mix) => mix.reduce((sum, share, g) => sum + share * moved[g]!, 0));
      }),
    };
  };
}

/** The mean product of two groups' gradients over pairs of different blocks; nothing where there is no pair. */
function overPairs(
  between: readonly (readonly number[])[],
  sizes: readonly (readonly number[])[],
  a: number,
  c: number,
): number {
  const G = sizes[0]!.length;
  let [sum, weights] = [0, 0];
  sizes.forEach((one, b) => {
    sizes.forEach((other, d) => {
      const weight = b === d ? 0 : one[a]! * other[c]!;
      sum += weight * between[b * G + a]![d * G + c]!;
      weights += weight;
    });
  });
  return weights > 0 ? sum / weights : 0;
}

/** Weights of blocks that say what others might have been drawn (the Bayesian bootstrap, Rubin 1981). */
export function blockWeights(blocks: number, random: Random): number[] {
  const drawn = Array.from({ length: blocks }, () => -Math.log(1 - random()));
  const total = drawn.reduce((a, b) => a + b, 0);
  return drawn.map((one) => (blocks * one) / total);
}

/** Products of what is left of gradients [B G, B G], and of readings with them [R, B G], without what all of a block have in common. */
function centred({ products, counts, kin }: GroupProducts) {
  const G = kin.length;
  const size = counts.length * G;
  const shares = counts.map((own) => {
    const total = own.reduce((sum, n) => sum + n, 0);
    return own.map((n) => (total === 0 ? 0 : n / total));
  });
  const rows = products.map((row) =>
    Array.from({ length: size }, (_, i) => {
      const from = i - (i % G);
      return row[i]! - shares[from / G]!.reduce((sum, share, g) => sum + share * row[from + g]!, 0);
    }),
  );
  const between = rows.slice(0, size).map((row, i) => {
    const from = i - (i % G);
    return row.map(
      (value, j) => value - shares[from / G]!.reduce((sum, share, g) => sum + share * rows[from + g]![j]!, 0),
    );
  });
  return { between, readings: rows.slice(size) };
}

function quadratic(
  row: readonly number[],
  middle: readonly (readonly number[])[],
  column: readonly number[],
): number {
  return row.reduce(
    (sum, x, i) => (x === 0 ? sum : sum + x * column.reduce((s, y, j) => s + y * middle[i]![j]!, 0)),
    0,
  );
}

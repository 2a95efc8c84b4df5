/** @file The class kernel: how far raising the likelihood of one class of rollouts moves that of another. */

/** What was measured of K classes of rollouts, on two halves of the prompts. */
export interface ClassProducts {
  /**
   * Inner products [2K + R, 2K + R] of gradients, scaled as the optimizer scales them: of mean log-probability for each class on
   * the first half of the prompts, then on the second, then of R readings.
   */
  products: readonly (readonly number[])[];
  /** Rollouts of each class, by half: [2][K]. A class without rollouts in a half has a gradient of zero there. */
  counts: readonly (readonly number[])[];
}

/** Change of what is in a row, per unit of likelihood given to the class of the column. */
export interface ClassKernel {
  /** Of the log-share of each class [K, K]. */
  shares: number[][];
  /** Of each reading [R, K]. */
  readings: number[][];
}

/**
 * The kernel k_ab = <g_a, P g_b> of class gradients g = E[grad log pi(y) | class], with g_a and g_b from different halves of the
 * prompts, mean over both orders: from one sample the diagonal holds the gradient's own variance, which in a class of few
 * rollouts is far larger than what they have in common.
 *
 * The score identity, sum_a p_a g_a = 0, is the control variate: what the sum leaves over in a half is noise that all of its
 * gradients share, and is taken from each.
 */
export function classKernel({ products, counts }: ClassProducts): ClassKernel {
  const K = counts[0]!.length;
  const R = products.length - 2 * K;
  const shares = counts.map((half) => {
    const total = half.reduce((sum, count) => sum + count, 0);
    return half.map((count) => (total === 0 ? 0 : count / total));
  });
  /** A centred gradient, as weights of the gradients that were measured. */
  const centred = (half: number, a: number): [index: number, weight: number][] =>
    shares[half]!.map((share, b) => [half * K + b, Number(a === b) - share]);
  const product = (one: [number, number][], other: [number, number][]) =>
    one.reduce((sum, [i, v]) => other.reduce((inner, [j, w]) => inner + v * w * products[i]![j]!, sum), 0);
  const list = Array.from({ length: K }, (_, a) => a);
  const known = (half: number, a: number) => counts[half]![a]! > 0;
  return {
    shares: list.map((a) =>
      list.map((b) => {
        const orders = [
          [0, 1],
          [1, 0],
        ].filter(([h, other]) => known(h!, a) && known(other!, b));
        const sum = orders.reduce((s, [h, other]) => s + product(centred(h!, a), centred(other!, b)), 0);
        return orders.length === 0 ? 0 : sum / orders.length;
      }),
    ),
    readings: Array.from({ length: R }, (_, r) =>
      list.map((b) => {
        const halves = [0, 1].filter((half) => known(half, b));
        const sum = halves.reduce((s, half) => s + product([[2 * K + r, 1]], centred(half, b)), 0);
        return halves.length === 0 ? 0 : sum / halves.length;
      }),
    ),
  };
}

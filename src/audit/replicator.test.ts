/** @file The class kernel and what is simulated by it, on a softmax bandit with shared parameters whose answer is exact. */

import { describe, expect, it } from "vitest";
import { normal, randomFor } from "../random.ts";
import { blockWeights, classKernel } from "./class-kernel.ts";
import { noiseSpread, type Replicator, simulateRun } from "./replicator.ts";

/** Completions of one prompt, with logits that are linear in a few parameters. */
function bandit(seed: string, completions = 200, parameters = 12) {
  const random = randomFor("bandit", seed);
  const centres = Array.from({ length: 4 }, () => Array.from({ length: parameters }, () => normal(random)));
  // Caught and uncaught misbehaviour share most of what they are made of.
  centres[1] = centres[0]!.map((x) => 0.8 * x + 0.3 * normal(random));
  const features = Array.from({ length: completions }, (_, y) =>
    centres[y % 4]!.map((x) => x + 0.3 * normal(random)),
  );
  const theta = Array<number>(parameters).fill(0);
  const offsets = features.map((_, y) => [-2, -3, -1, 0][y % 4]!);
  const policy = () => {
    const weights = features.map((f, y) =>
      Math.exp(f.reduce((sum, x, d) => sum + x * theta[d]!, offsets[y]!)),
    );
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.map((w) => w / total);
  };
  const shares = (p: readonly number[]) =>
    [0, 1, 2, 3].map((c) => p.reduce((sum, x, y) => (y % 4 === c ? sum + x : sum), 0));
  /** Gradient of each class' mean log-probability, exactly. */
  const gradients = (p: readonly number[]) => {
    const mean = theta.map((_, d) => p.reduce((sum, x, y) => sum + x * features[y]![d]!, 0));
    return [0, 1, 2, 3].map((c) => {
      const share = shares(p)[c]!;
      return theta.map(
        (_, d) =>
          p.reduce((sum, x, y) => (y % 4 === c ? sum + (x / share) * features[y]![d]! : sum), 0) - mean[d]!,
      );
    });
  };
  return { theta, policy, shares, gradients };
}

/** Groups that are like no other. */
const apart = (groups: number) => Array.from({ length: groups }, (_, g) => [g]);

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** A run of exact policy gradients. */
function exactRun(seed: string, rewards: readonly number[], steps: number, rate: number): number[][] {
  const { theta, policy, shares, gradients } = bandit(seed);
  return Array.from({ length: steps }, () => {
    const p = policy();
    const own = shares(p);
    const mean = dot(own, rewards);
    const g = gradients(p);
    for (let d = 0; d < theta.length; d++)
      theta[d]! += rate * own.reduce((sum, share, c) => sum + share * (rewards[c]! - mean) * g[c]![d]!, 0);
    return own;
  });
}

/** The same, foretold from the gradients of the start. */
function foretoldRun(seed: string, rewards: readonly number[], steps: number, rate: number, own = false) {
  const { policy, shares, gradients } = bandit(seed);
  const p = policy();
  const g = gradients(p);
  const products = [...g, ...g].map((a) => [...g, ...g].map((b) => dot(a, b)));
  const counts = [0, 1].map(() => shares(p).map((share) => 1e6 * share));
  const { shares: kernel } = classKernel({ products, counts, kin: apart(4) })();
  const options: Replicator = {
    kernel: {
      shares: own ? kernel.map((row, a) => row.map((_, b) => (a === b ? 1 / shares(p)[a]! : 0))) : kernel,
      readings: [],
    },
    ...{ noise: [0, 0, 0, 0], tokenWeight: 1, tokens: 1, kl: 0, momentum: 0 },
    advantagesOf: (classes) => {
      const mean = classes.reduce((sum, c) => sum + rewards[c]!, 0) / classes.length;
      return classes.map((c) => rewards[c]! - mean);
    },
    rates: Array<number>(steps).fill(rate),
    // Large groups: next to no sampling noise.
    ...{ groups: 1, groupSize: 20_000, square: 0, gradNorm: 0, maxGradNorm: Infinity },
  };
  return simulateRun([shares(p)], options, randomFor("foretold", seed)).sampled;
}

describe("the class kernel", () => {
  it("foretells a policy with shared parameters, where parameters of one's own get the sign wrong", () => {
    for (const seed of ["a", "b", "c"]) {
      const rewards = [-1, 1, 1, 0];
      const steps = 60;
      const truth = exactRun(seed, rewards, steps, 0.05);
      const foretold = foretoldRun(seed, rewards, steps, 0.05);
      const independent = foretoldRun(seed, rewards, steps, 0.05, true);
      const error = (run: number[][]) =>
        Math.max(...run.at(-1)!.map((share, c) => Math.abs(share - truth.at(-1)![c]!)));
      expect(error(foretold)).toBeLessThan(0.05);
      expect(error(independent)).toBeGreaterThan(2 * error(foretold));
    }
  });

  it("has gradients of two halves: what one sample shares with itself is in none of it", () => {
    // Two classes of pure noise: no gradient of one half has anything in common with one of the other.
    const random = randomFor("halves");
    const noise = () => Array.from({ length: 4000 }, () => normal(random));
    const g = [noise(), noise(), noise(), noise()];
    const products = g.map((a) => g.map((b) => dot(a, b)));
    const { shares } = classKernel({
      products,
      counts: [
        [10, 10],
        [10, 10],
      ],
      kin: apart(2),
    })();
    // A sample's product with itself would be about 4,000.
    for (const row of shares) for (const value of row) expect(Math.abs(value)).toBeLessThan(400);
  });

  it("takes from each half what its shares' gradients leave over", () => {
    // Half of everything is the same gradient, of norm 1, in both halves: by the score identity it is no class' own.
    const products = Array.from({ length: 5 }, () => Array<number>(5).fill(1));
    const { shares, readings } = classKernel({
      products,
      counts: [
        [3, 7],
        [5, 5],
      ],
      kin: apart(2),
    })();
    for (const value of [...shares.flat(), ...readings.flat()]) expect(value).toBeCloseTo(0, 12);
  });

  it("is zero for a reading that no weight moves, and for a class that is not there", () => {
    const products = [
      [2, 1, 2, 1, 0],
      [1, 3, 1, 3, 0],
      [2, 1, 2, 1, 0],
      [1, 3, 1, 3, 0],
      [0, 0, 0, 0, 5],
    ];
    expect(
      classKernel({
        products,
        counts: [
          [4, 4],
          [4, 4],
        ],
        kin: apart(2),
      })().readings,
    ).toEqual([[0, 0]]);
    expect(
      classKernel({
        products,
        counts: [
          [4, 0],
          [4, 0],
        ],
        kin: apart(2),
      })().shares.map((row) => row[1]),
    ).toEqual([0, 0]);
  });
});

describe("the kernel of a group of few rollouts", () => {
  /** Two large groups and a small third, which is like the second or has a direction of its own, measured on blocks of rollouts. */
  function measuredAs(own: boolean, seed: string, sizes = [400, 400, 16], blocks = 4) {
    const random = randomFor("few", own ? 1 : 0, seed);
    const D = 400;
    const axis = (d: number) => Array.from({ length: D }, (_, i) => (i === d ? 30 : 0));
    const truth = [axis(0), axis(1), own ? axis(2) : axis(1)];
    const counts = Array.from({ length: blocks }, () => sizes.map((size) => size / blocks));
    const g = counts.flatMap((ns) =>
      ns.map((n, c) => truth[c]!.map((x) => x + (10 * normal(random)) / Math.sqrt(n))),
    );
    const products = g.map((a) => g.map((b) => dot(a, b)));
    // What the kernel would be of gradients without noise, centred by their shares.
    const total = sizes.reduce((a, b) => a + b, 0);
    const centre = truth[0]!.map((_, d) =>
      sizes.reduce((sum, size, c) => sum + (size / total) * truth[c]![d]!, 0),
    );
    const exact = truth.map((row) => row.map((x, d) => x - centre[d]!));
    return { products, counts, exact: (a: number, b: number) => dot(exact[a]!, exact[b]!) };
  }
  const seeds = Array.from({ length: 12 }, (_, i) => `seed ${i}`);
  const error = (own: boolean, kin: number[][]) => {
    const errors = seeds.map((seed) => {
      const { exact, ...measured } = measuredAs(own, seed);
      return Math.abs(classKernel({ ...measured, kin })().shares[2]![2]! - exact(2, 2));
    });
    return errors.reduce((a, b) => a + b, 0) / errors.length;
  };
  const together = [[0], [1, 2], [1, 2]];

  it("is that of its kin where it is like them, nearer to the truth than by itself", () => {
    expect(error(false, together)).toBeLessThan(0.6 * error(false, apart(3)));
  });

  it("is its own where it is not like them", () => {
    for (const seed of seeds) {
      const { exact, ...measured } = measuredAs(true, seed);
      expect(classKernel({ ...measured, kin: together })().shares[2]![2]! / exact(2, 2)).toBeGreaterThan(0.4);
    }
  });

  it("is drawn with as much doubt as other blocks would leave, more of few rollouts than of many", () => {
    const { exact, ...measured } = measuredAs(false, "drawn");
    const kernelOf = classKernel({ ...measured, kin: apart(3) });
    const random = randomFor("weights");
    const drawn = Array.from({ length: 200 }, () => kernelOf(blockWeights(4, random)).shares);
    const deviation = (c: number) => {
      const values = drawn.map((shares) => shares[c]![c]!);
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    };
    expect(deviation(2)).toBeGreaterThan(3 * deviation(1));
    expect(Math.abs(kernelOf().shares[2]![2]! - exact(2, 2))).toBeLessThan(6 * deviation(2));
    expect(kernelOf([1, 1, 1, 1])).toEqual(kernelOf());
  });
});

describe("a simulated run", () => {
  const still: Replicator = {
    kernel: {
      shares: [
        [0, 0],
        [0, 0],
      ],
      readings: [[0, 0]],
    },
    ...{ noise: [0, 0], tokenWeight: 1, tokens: 1, kl: 0 },
    advantagesOf: (classes) => classes.map((c) => (c === 0 ? 1 : -1)),
    rates: Array<number>(20).fill(0.1),
    ...{ groups: 50, groupSize: 8, square: 1, gradNorm: 1, maxGradNorm: 1 },
  };
  const last = (options: Replicator, initial = [[0.3, 0.7]]) =>
    simulateRun(initial, options, randomFor("simulated")).sampled.at(-1)![0]!;

  it("only scatters where nothing moves, and is the same for the same numbers", () => {
    expect(Math.abs(last(still) - 0.3)).toBeLessThan(0.1);
    expect(simulateRun([[0.3, 0.7]], still, randomFor(1))).toEqual(
      simulateRun([[0.3, 0.7]], still, randomFor(1)),
    );
  });

  it("raises what is paid, less where it is pulled to where it was, and not where a prompt knows one class", () => {
    const moving = {
      ...still,
      kernel: {
        shares: [
          [1, -1],
          [-1, 1],
        ],
        readings: [[2, -2]],
      },
    };
    expect(last(moving)).toBeGreaterThan(0.5);
    expect(last({ ...moving, kl: 5 })).toBeLessThan(last(moving) - 0.1);
    expect(last(moving, [[0, 1]])).toBe(0);
    expect(simulateRun([[0.3, 0.7]], moving, randomFor(1)).readings.at(-1)![0]).toBeGreaterThan(0);
  });

  it("moves by noise alone where noise moves, in proportion to how far it has spread", () => {
    const spread = noiseSpread(still.rates).at(-2)!;
    const noisy = { ...still, noise: [-0.5 / spread, 0] };
    const odds = (share: number) => Math.log(share / (1 - share));
    expect(odds(last({ ...noisy, groups: 2000 })) - odds(0.3)).toBeCloseTo(-0.5, 1);
    // Without momentum each gradient is spent where it comes.
    expect(noiseSpread([2, 2, 2], 0)).toEqual([0, 4, 8, 12]);
    // With it the first count for more: the running mean begins with them.
    expect(noiseSpread([1, 1, 1])[3]).toBeGreaterThan(3);
  });
});

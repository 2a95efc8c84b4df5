/** @file The policy gradient against what it must equal: REINFORCE, and itself however it is batched. */

import { afterAll, describe, expect, it } from "vitest";
import { type CharacterConfig, createScorer, initialWeights, type Weights } from "../model/index.ts";
import { logit, type Probe, sigmoid } from "../probe/index.ts";
import { randomFor, randomInt } from "../random.ts";
import {
  accumulate,
  createLikelihoodGradient,
  createPolicyGradient,
  type UpdateRollout,
  zerosLike,
} from "./gradients.ts";
import { tokenShares } from "./shares.ts";

const config: CharacterConfig = {
  architecture: "probeward-character",
  alphabet: "abcdefg",
  context: 48,
  layers: 2,
  heads: 2,
  width: 16,
  hidden: 24,
};
const weights = initialWeights(config, randomFor("weights"));
const random = randomFor("sequences");
/** More sequences than fit one batch, of several padded lengths. */
const sequences = Array.from({ length: 21 }, () => {
  const promptLength = 1 + randomInt(random, 4);
  const length = promptLength + 1 + randomInt(random, 40);
  return { promptLength, tokens: Array.from({ length }, () => randomInt(random, 8)) };
});
const advantages = sequences.map((_, i) => (i % 3) - 1);
const options = { temperature: 1, clipRange: 0.2, kl: 0, entropy: 0 };
const hook = "blocks.1.hook_resid_post";
const scorer = createScorer(config, { hooks: [hook] });
afterAll(() => scorer.close());

async function rollouts(old: Weights = weights, reference: Weights = weights): Promise<UpdateRollout[]> {
  const sampled = await scorer.score(old, sequences);
  const referred = await scorer.score(reference, sequences);
  const shares = tokenShares(sequences, "dapo", 44);
  return sequences.map((sequence, i) => ({
    ...sequence,
    advantage: advantages[i]!,
    shares: shares[i]!,
    oldLogProbs: sampled[i]!.logProbabilities,
    referenceLogProbs: referred[i]!.logProbabilities,
  }));
}

function largestDifference(a: Weights, b: Weights): number {
  return Math.max(
    ...Object.entries(a).map(([name, { data }]) =>
      data.reduce((most, value, i) => Math.max(most, Math.abs(value - b[name]!.data[i]!)), 0),
    ),
  );
}

function largest(gradient: Weights): number {
  return Math.max(
    ...Object.values(gradient).map(({ data }) => data.reduce((most, x) => Math.max(most, Math.abs(x)), 0)),
  );
}

/** Weights that differ from the given ones a little, everywhere. */
function moved(from: Weights): Weights {
  const other = initialWeights(config, randomFor("others"));
  return Object.fromEntries(
    Object.entries(from).map(([name, tensor]) => [
      name,
      { ...tensor, data: tensor.data.map((value, i) => value + 0.3 * other[name]!.data[i]!) },
    ]),
  );
}

describe("the policy gradient", () => {
  it("is REINFORCE where the policy is the one that sampled", async () => {
    const policy = createPolicyGradient(config, options);
    const { gradient, statistics } = await policy.gradient(weights, await rollouts());
    await policy.close();
    expect(statistics.clipped).toBe(0);

    // The gradient of sum(A log p) is that of the likelihood of the rollouts with A = 1 less those with A = -1.
    const likelihood = createLikelihoodGradient(config);
    const tokensOf = (list: typeof sequences) =>
      list.reduce((n, s) => n + s.tokens.length - s.promptLength, 0);
    const part = async (advantage: number) => {
      const chosen = sequences.filter((_, i) => advantages[i] === advantage);
      const { gradient } = await likelihood.gradient(weights, chosen);
      return { gradient, share: tokensOf(chosen) / tokensOf(sequences) };
    };
    const [good, bad] = [await part(1), await part(-1)];
    await likelihood.close();
    const expected: Weights = Object.fromEntries(
      Object.entries(good.gradient).map(([name, tensor]) => [
        name,
        {
          ...tensor,
          data: tensor.data.map((value, i) => good.share * value - bad.share * bad.gradient[name]!.data[i]!),
        },
      ]),
    );
    expect(largest(expected)).toBeGreaterThan(1e-3);
    expect(largestDifference(gradient, expected)).toBeLessThan(1e-5 * (1 + largest(expected)));
  });

  it.each([
    { advantage: 1, ratio: Math.E, moves: false },
    { advantage: 1, ratio: 1 / Math.E, moves: true },
    { advantage: -1, ratio: Math.E, moves: true },
    { advantage: -1, ratio: 1 / Math.E, moves: false },
  ])(
    "clips what would go further: advantage $advantage at ratio $ratio",
    async ({ advantage, ratio, moves }) => {
      const policy = createPolicyGradient(config, options);
      const shifted = (await rollouts()).map((rollout) => ({
        ...rollout,
        advantage,
        oldLogProbs: rollout.oldLogProbs.map((value) => value - Math.log(ratio)),
      }));
      const { gradient, statistics } = await policy.gradient(weights, shifted);
      await policy.close();
      expect(statistics.clipped).toBeCloseTo(1, 5);
      if (moves) expect(largest(gradient)).toBeGreaterThan(1e-3);
      else expect(largest(gradient)).toBe(0);
    },
  );

  it("pulls towards the reference, by the k3 divergence", async () => {
    const kl = createPolicyGradient(config, { ...options, kl: 1 });
    const list = (await rollouts(weights, moved(weights))).map((rollout) => ({ ...rollout, advantage: 0 }));
    const { gradient, statistics } = await kl.gradient(weights, list);
    const k3 = list.reduce(
      (sum, { oldLogProbs, referenceLogProbs, shares }) =>
        sum +
        shares.reduce((inner, share, t) => {
          const gap = referenceLogProbs[t]! - oldLogProbs[t]!;
          return inner + share * (Math.exp(gap) - gap - 1);
        }, 0),
      0,
    );
    expect(statistics.loss).toBeCloseTo(k3, 5);
    expect(statistics.loss).toBeGreaterThan(1e-3);
    const stepped = step(weights, gradient, 0.002 / largest(gradient));
    const after = await kl.gradient(stepped, list);
    await kl.close();
    expect(after.statistics.loss).toBeLessThan(statistics.loss);
  });

  it.each(["mean", "max"] as const)(
    "quiets a probe in the loss that pools by the %s, in its direction and without an advantage",
    async (pool) => {
      const weight_D = Float32Array.from({ length: 16 }, (_, d) => Math.sin(d));
      const probe = probeAlong(weight_D, pool);
      const probed = createPolicyGradient(config, { ...options, probe: { probe, strength: 2 } });
      const list = (await rollouts()).map((rollout) => ({ ...rollout, advantage: 0 }));
      const before = await probed.gradient(weights, list);
      const scored = await scorer.score(weights, sequences);
      const expected =
        2 *
        average(
          scored.map(({ activations }, i) => {
            const { promptLength, tokens } = sequences[i]!;
            const logits = tokens
              .map((_, t) => dot(activations[hook]!.subarray(t * 16, (t + 1) * 16), weight_D) + 0.5)
              .slice(promptLength);
            return Math.log1p(Math.exp(pool === "mean" ? average(logits) : Math.max(...logits)));
          }),
        );
      expect(before.statistics.probeLoss).toBeCloseTo(expected, 4);
      const after = await probed.gradient(
        step(weights, before.gradient, 0.02 / largest(before.gradient)),
        list,
      );
      await probed.close();
      expect(after.statistics.probeLoss).toBeLessThan(before.statistics.probeLoss);
    },
  );

  it("with a pathwise probe and a linear penalty is the total derivative of the expected score", async () => {
    // All answers of one token, each with its probability as its share: an exact expectation, with nothing sampled.
    const answers = Array.from({ length: 8 }, (_, token) => ({ tokens: [3, 1, token], promptLength: 2 }));
    const probe = probeAlong(
      Float32Array.from({ length: 16 }, (_, d) => 2 * Math.cos(d)),
      "mean",
    );
    const strength = 3;
    const expectedScore = async (at: Weights) => {
      const scored = await scorer.score(at, answers);
      const values = scored.map(({ logProbabilities, activations }) => ({
        probability: Math.exp(logProbabilities[0]!),
        score: sigmoid(logit(probe, activations[hook]!.subarray(32, 48))),
        logProbabilities,
      }));
      const total = values.reduce((sum, { probability, score }) => sum + probability * score, 0);
      return { total, values };
    };
    const { values } = await expectedScore(weights);
    const gradients = createPolicyGradient(config, {
      ...options,
      probe: { probe, strength, as: "pathwise" },
    });
    const { gradient } = await gradients.gradient(
      weights,
      answers.map((answer, i) => ({
        ...answer,
        advantage: -strength * values[i]!.score,
        shares: Float32Array.of(values[i]!.probability),
        oldLogProbs: values[i]!.logProbabilities,
        referenceLogProbs: values[i]!.logProbabilities,
      })),
    );
    await gradients.close();
    const slope = squaredNorm(gradient);
    const size = 0.001 / Math.sqrt(slope);
    const ahead = (await expectedScore(step(weights, gradient, -size))).total;
    const behind = (await expectedScore(step(weights, gradient, size))).total;
    expect((strength * (ahead - behind)) / (2 * size * slope)).toBeCloseTo(1, 2);
  });

  it("counts equal rollouts as often as they are there", async () => {
    const policy = createPolicyGradient(config, { ...options, kl: 0.3, entropy: 0.1 });
    const [a, b] = await rollouts(moved(weights));
    const sum = zerosLike(weights);
    for (const rollout of [a!, a!, b!]) accumulate(sum, (await policy.gradient(weights, [rollout])).gradient);
    const { gradient } = await policy.gradient(weights, [a!, b!, a!]);
    await policy.close();
    expect(largestDifference(gradient, sum)).toBeLessThan(1e-5 * largest(sum));
  });

  it("counts them in the probe's part, which is a mean over rollouts", async () => {
    const probe = { probe: probeAlong(new Float32Array(16).fill(0.3), "mean"), strength: 2 };
    const policy = createPolicyGradient(config, { ...options, probe });
    const [a, b] = (await rollouts()).map((rollout) => ({ ...rollout, advantage: 0 }));
    const sum = zerosLike(weights);
    for (const rollout of [a!, a!, b!]) accumulate(sum, (await policy.gradient(weights, [rollout])).gradient);
    const { gradient } = await policy.gradient(weights, [a!, b!, a!]);
    await policy.close();
    const scaled = zerosLike(weights);
    for (let i = 0; i < 3; i++) accumulate(scaled, gradient);
    expect(largestDifference(scaled, sum)).toBeLessThan(1e-5 * largest(sum));
  });

  it("adds what is credited to single tokens to the advantage of the rollout", async () => {
    const policy = createPolicyGradient(config, options);
    const list = await rollouts();
    const { gradient: expected } = await policy.gradient(weights, list);
    const { gradient } = await policy.gradient(
      weights,
      list.map((rollout) => ({
        ...rollout,
        advantage: rollout.advantage - 0.5,
        tokenAdvantages: new Float32Array(rollout.shares.length).fill(0.5),
      })),
    );
    await policy.close();
    expect(largestDifference(gradient, expected)).toBeLessThan(1e-6);
  });

  describe("with a probe that reads at a follow-up", () => {
    const followUp = [7, 6, 7];
    // Short enough for the follow-up to fit, and of tokens that are not in it.
    const asked = sequences.map(({ tokens, promptLength }) => ({
      promptLength,
      tokens: tokens.slice(0, 40).map((token) => token % 6),
    }));
    const weight_D = Float32Array.from({ length: 16 }, (_, d) => Math.sin(d));
    const along = probeAlong(weight_D, "mean");
    const probe: Probe = { ...along, tap: { ...along.tap, positions: "follow-up", followUp: "gfg" } };
    const probedBy = (strength: number) => ({ followUp, probe: { probe, strength } });
    async function list(advantage: (i: number) => number) {
      const scored = await scorer.score(weights, asked);
      const referred = await scorer.score(moved(weights), asked);
      const shares = tokenShares(asked, "dapo", 44);
      return asked.map((sequence, i) => ({
        ...sequence,
        advantage: advantage(i),
        shares: shares[i]!,
        oldLogProbs: scored[i]!.logProbabilities,
        referenceLogProbs: referred[i]!.logProbabilities,
      }));
    }

    it("follows the slope of the probe's loss at the follow-up, also through the follow-up's own tokens", async () => {
      const probed = createPolicyGradient(config, { ...options, ...probedBy(2) });
      const quiet = await list(() => 0);
      const { gradient, statistics } = await probed.gradient(weights, quiet);
      const reader = createScorer(config, { hooks: [hook], followUp });
      const expected = async (at: Weights) => {
        const scored = await reader.score(at, asked);
        const losses = scored.map(({ activations }) =>
          Math.log1p(Math.exp(dot(activations[hook]!.subarray(-16), weight_D) + 0.5)),
        );
        return 2 * average(losses);
      };
      expect(statistics.probeLoss).toBeCloseTo(await expected(weights), 4);
      // A step along the gradient lowers the loss by the step times the gradient's squared length.
      const squared = Object.values(gradient).reduce((sum, { data }) => sum + dot(data, data), 0);
      // It is small against the embeddings, whose deviation is 0.02: the loss curves.
      const rate = 0.001 / Math.sqrt(squared);
      const [ahead, behind] = [
        await expected(step(weights, gradient, rate)),
        await expected(step(weights, gradient, -rate)),
      ];
      await reader.close();
      await probed.close();
      expect((behind - ahead) / (2 * rate * squared)).toBeCloseTo(1, 2);

      // Tokens that occur in the follow-up only.
      const rows = gradient["embed.W_E"]!.data;
      const size = (token: number) => largestOf(rows.subarray(token * 16, (token + 1) * 16));
      expect(size(7)).toBeGreaterThan(1e-3);
      expect(size(6)).toBeGreaterThan(1e-3);
    });

    it("leaves the policy's own loss as it is", async () => {
      const both = { ...options, kl: 0.5, entropy: 0.1 };
      const plain = createPolicyGradient(config, both);
      const probed = createPolicyGradient(config, { ...both, ...probedBy(0) });
      const rewarded = await list((i) => advantages[i]!);
      const without = await plain.gradient(weights, rewarded);
      const read = await probed.gradient(weights, rewarded);
      await plain.close();
      await probed.close();
      expect(read.statistics.loss).toBeCloseTo(without.statistics.loss, 5);
      expect(largest(without.gradient)).toBeGreaterThan(1e-3);
      expect(largestDifference(read.gradient, without.gradient)).toBeLessThan(1e-5);
    });
  });
});

function largestOf(values: Float32Array): number {
  return values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
}

function probeAlong(weight_D: Float32Array, pool: "mean" | "max"): Probe {
  return {
    kind: "logistic",
    tap: { hook, positions: "completion", pool },
    weight_D,
    bias: 0.5,
    threshold: 0,
  };
}

function squaredNorm(gradient: Weights): number {
  return Object.values(gradient).reduce(
    (sum, { data }) => sum + data.reduce((inner, x) => inner + x * x, 0),
    0,
  );
}

function step(from: Weights, gradient: Weights, rate: number): Weights {
  return Object.fromEntries(
    Object.entries(from).map(([name, tensor]) => [
      name,
      { ...tensor, data: tensor.data.map((value, i) => value - rate * gradient[name]!.data[i]!) },
    ]),
  );
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

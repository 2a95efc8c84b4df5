/** @file The policy gradient against what it must equal: REINFORCE, and itself however it is batched. */

import { afterAll, describe, expect, it } from "vitest";
import { type CharacterConfig, initialWeights, type Weights } from "../model/index.ts";
import { logit, type Probe, sigmoid } from "../probe/index.ts";
import { randomFor, randomInt } from "../random.ts";
import { forward } from "./forward.ts";
import { addGradient } from "./gradient.ts";
import { ProgramStore } from "./programs.ts";
import type { Datum, Loss, Sequence } from "./types.ts";
import { fetchWeights, type Placed } from "./weights.ts";

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
const options = { kind: "policy_gradient", temperature: 1, clipRange: 0.2, kl: 0, entropy: 0 } as const;
const hook = "blocks.1.hook_resid_post";
const programs = new ProgramStore();
afterAll(() => programs.close());

/** What a model computes over sequences, with the activations at the hook: of completions, or behind a follow-up. */
const pass = async (at: Weights, list: readonly Sequence[], followUp: readonly number[] = []) => {
  const positions = followUp.length > 0 ? "follow-up" : "completion";
  const options = { reads: [{ as: "rows", hook, positions }], followUp } as const;
  const outputs = await forward(config, programs, at, list, options);
  return outputs.map(({ logprobs, reads: [activations_PD] }) => ({
    logprobs,
    activations_PD: activations_PD!,
  }));
};

async function gradientOf(at: Weights, data: readonly Datum[], loss: Loss) {
  const { gradient, metrics } = await addGradient({ config, programs }, at, data, loss, undefined);
  return { gradient: await fetchWeights(programs.runtime, gradient!), metrics };
}

/** Every token of all completions counts the same. */
function withWeights<T extends Sequence>(list: readonly T[]) {
  const lengths = list.map(({ tokens, promptLength }) => tokens.length - promptLength);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  return list.map((one, i) => ({ ...one, weights: new Float32Array(lengths[i]!).fill(1 / total) }));
}

async function rollouts(old: Weights = weights, reference: Weights = weights) {
  const sampled = await pass(old, sequences);
  const referred = await pass(reference, sequences);
  return withWeights(sequences).map((sequence, i) => ({
    ...sequence,
    advantages: sequence.weights.map(() => advantages[i]!),
    logprobs: sampled[i]!.logprobs,
    refLogprobs: referred[i]!.logprobs,
  }));
}

/** The same without an advantage, and with a share in the probe's term. */
const probed = <T extends Datum>(list: readonly T[], strength: number) =>
  list.map((datum) => ({
    ...datum,
    advantages: datum.weights.map(() => 0),
    probeWeight: strength / list.length,
  }));

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
    const { gradient, metrics } = await gradientOf(weights, await rollouts(), options);
    expect(metrics.clipFraction).toBe(0);

    // The gradient of sum(A log p) is that of the likelihood of the rollouts with A = 1 less those with A = -1.
    const tokensOf = (list: typeof sequences) =>
      list.reduce((n, s) => n + s.tokens.length - s.promptLength, 0);
    const part = async (advantage: number) => {
      const chosen = sequences.filter((_, i) => advantages[i] === advantage);
      const { gradient } = await gradientOf(weights, withWeights(chosen), { kind: "cross_entropy" });
      return { gradient, share: tokensOf(chosen) / tokensOf(sequences) };
    };
    const [good, bad] = [await part(1), await part(-1)];
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
      const shifted = (await rollouts()).map((rollout) => ({
        ...rollout,
        advantages: rollout.weights.map(() => advantage),
        logprobs: rollout.logprobs.map((value) => value - Math.log(ratio)),
      }));
      const { gradient, metrics } = await gradientOf(weights, shifted, options);
      expect(metrics.clipFraction).toBeCloseTo(1, 5);
      if (moves) expect(largest(gradient)).toBeGreaterThan(1e-3);
      else expect(largest(gradient)).toBe(0);
    },
  );

  it("pulls towards the reference, by the k3 divergence", async () => {
    const loss: Loss = { ...options, kl: 1 };
    const list = (await rollouts(weights, moved(weights))).map((rollout) => ({
      ...rollout,
      advantages: rollout.weights.map(() => 0),
    }));
    const { gradient, metrics } = await gradientOf(weights, list, loss);
    const k3 = list.reduce(
      (sum, { logprobs, refLogprobs, weights: shares }) =>
        sum +
        shares.reduce((inner, share, t) => {
          const gap = refLogprobs[t]! - logprobs[t]!;
          return inner + share * (Math.exp(gap) - gap - 1);
        }, 0),
      0,
    );
    expect(metrics.loss).toBeCloseTo(k3, 5);
    expect(metrics.loss).toBeGreaterThan(1e-3);
    const stepped = step(weights, gradient, 0.002 / largest(gradient));
    const after = await gradientOf(stepped, list, loss);
    expect(after.metrics.loss).toBeLessThan(metrics.loss);
  });

  it.each(["mean", "max"] as const)(
    "quiets a probe in the loss that pools by the %s, in its direction and without an advantage",
    async (pool) => {
      const weight_D = Float32Array.from({ length: 16 }, (_, d) => Math.sin(d));
      const probe = probeAlong(weight_D, pool);
      const loss: Loss = { ...options, probe: { probe, as: "softplus", followUp: [] } };
      const list = probed(await rollouts(), 2);
      const before = await gradientOf(weights, list, loss);
      const outputs = await pass(weights, sequences);
      const expected =
        2 *
        average(
          outputs.map(({ logprobs, activations_PD }) => {
            const logits = [...logprobs].map(
              (_, t) => dot(activations_PD.subarray(t * 16, (t + 1) * 16), weight_D) + 0.5,
            );
            return Math.log1p(Math.exp(pool === "mean" ? average(logits) : Math.max(...logits)));
          }),
        );
      expect(before.metrics.probeLoss).toBeCloseTo(expected, 4);
      const stepped = step(weights, before.gradient, 0.02 / largest(before.gradient));
      const after = await gradientOf(stepped, list, loss);
      expect(after.metrics.probeLoss).toBeLessThan(before.metrics.probeLoss);
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
      const values = (await pass(at, answers)).map(({ logprobs, activations_PD }) => ({
        probability: Math.exp(logprobs[0]!),
        score: sigmoid(logit(probe, activations_PD)),
        logprobs,
      }));
      const total = values.reduce((sum, { probability, score }) => sum + probability * score, 0);
      return { total, values };
    };
    const { values } = await expectedScore(weights);
    const { gradient } = await gradientOf(
      weights,
      answers.map((answer, i) => ({
        ...answer,
        weights: Float32Array.of(values[i]!.probability),
        advantages: Float32Array.of(-strength * values[i]!.score),
        logprobs: values[i]!.logprobs,
        refLogprobs: values[i]!.logprobs,
        // As the token counts in the policy's part.
        probeWeight: strength * values[i]!.probability,
      })),
      { ...options, probe: { probe, as: "sigmoid", followUp: [] } },
    );
    const slope = squaredNorm(gradient);
    const size = 0.001 / Math.sqrt(slope);
    const ahead = (await expectedScore(step(weights, gradient, -size))).total;
    const behind = (await expectedScore(step(weights, gradient, size))).total;
    expect((strength * (ahead - behind)) / (2 * size * slope)).toBeCloseTo(1, 2);
  });

  it("is a sum over data, in which equal ones count as often as they are there", async () => {
    const probe = { probe: probeAlong(new Float32Array(16).fill(0.3), "mean"), as: "softplus" as const };
    const loss: Loss = { ...options, kl: 0.3, entropy: 0.1, probe: { ...probe, followUp: [] } };
    const [a, b] = (await rollouts(moved(weights))).map((datum) => ({ ...datum, probeWeight: 0.7 }));
    let gathered: Placed | undefined;
    for (const datum of [a!, a!, b!])
      gathered = (await addGradient({ config, programs }, weights, [datum], loss, gathered)).gradient;
    const sum = await fetchWeights(programs.runtime, gathered!);
    const { gradient } = await gradientOf(weights, [a!, b!, a!], loss);
    expect(largestDifference(gradient, sum)).toBeLessThan(1e-5 * largest(sum));
  });

  it("is finite however unlikely a token is where none counts", async () => {
    const embedding = weights["embed.W_E"]!;
    const data = Float32Array.from(embedding.data, (x, i) => (i < config.width ? 1e5 * x : x));
    const sure = { ...weights, "embed.W_E": { ...embedding, data } };
    const without = sequences.map((one) => ({ ...one, tokens: one.tokens.map((token) => token || 1) }));
    const read = await pass(sure, without);
    const all = withWeights(without).map((one, i) => ({
      ...{ ...one, advantages: one.weights.map(() => advantages[i]!) },
      ...{ logprobs: read[i]!.logprobs, refLogprobs: read[i]!.logprobs },
    }));
    const { gradient, metrics } = await gradientOf(sure, all, { ...options, kl: 0.3 });
    expect(metrics.loss).toBeCloseTo(
      -all.reduce(
        (sum, one) => sum + one.weights.reduce((own, weight, t) => own + weight * one.advantages[t]!, 0),
        0,
      ),
      4,
    );
    for (const { data } of Object.values(gradient)) expect(data.every(Number.isFinite)).toBe(true);
  });

  it.each(["weights", "advantages", "logprobs", "refLogprobs"] as const)(
    "refuses a datum that lacks %s for a token",
    async (name) => {
      const [datum] = await rollouts();
      const short = { ...datum!, [name]: datum![name].slice(1) };
      await expect(gradientOf(weights, [short], options)).rejects.toThrow(
        new RegExp(`${short[name].length} ${name} for a completion of ${short[name].length + 1} tokens`),
      );
    },
  );

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
    const asking = { probe, as: "softplus", followUp } as const;
    async function list() {
      const sampled = await pass(weights, asked);
      const referred = await pass(moved(weights), asked);
      return withWeights(asked).map((sequence, i) => ({
        ...sequence,
        advantages: sequence.weights.map(() => advantages[i]!),
        logprobs: sampled[i]!.logprobs,
        refLogprobs: referred[i]!.logprobs,
      }));
    }

    it("follows the slope of the probe's loss at the follow-up, also through the follow-up's own tokens", async () => {
      const loss: Loss = { ...options, probe: asking };
      const { gradient, metrics } = await gradientOf(weights, probed(await list(), 2), loss);
      const expected = async (at: Weights) => {
        const losses = (await pass(at, asked, followUp)).map(({ activations_PD }) =>
          Math.log1p(Math.exp(dot(activations_PD, weight_D) + 0.5)),
        );
        return 2 * average(losses);
      };
      expect(metrics.probeLoss).toBeCloseTo(await expected(weights), 4);
      // A step along the gradient lowers the loss by the step times the gradient's squared length.
      const squared = Object.values(gradient).reduce((sum, { data }) => sum + dot(data, data), 0);
      // It is small against the embeddings, whose deviation is 0.02: the loss curves.
      const rate = 0.001 / Math.sqrt(squared);
      const [ahead, behind] = [
        await expected(step(weights, gradient, rate)),
        await expected(step(weights, gradient, -rate)),
      ];
      expect((behind - ahead) / (2 * rate * squared)).toBeCloseTo(1, 2);

      // Tokens that occur in the follow-up only.
      const rows = gradient["embed.W_E"]!.data;
      const size = (token: number) => largestOf(rows.subarray(token * 16, (token + 1) * 16));
      expect(size(7)).toBeGreaterThan(1e-3);
      expect(size(6)).toBeGreaterThan(1e-3);
    });

    it("leaves the policy's own loss as it is", async () => {
      const plain: Loss = { ...options, kl: 0.5, entropy: 0.1 };
      const rewarded = await list();
      const without = await gradientOf(weights, rewarded, plain);
      const read = await gradientOf(weights, rewarded, { ...plain, probe: asking });
      expect(read.metrics.loss).toBeCloseTo(without.metrics.loss, 5);
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

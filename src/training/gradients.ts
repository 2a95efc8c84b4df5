/** @file Gradients of a loss over many sequences, accumulated over batches that fit the caches. */

import { valueAndGrad } from "@jax-js/jax";
import {
  type Batch,
  batchesOf,
  batchTokens,
  type ModelConfig,
  ProgramCache,
  type Sequence,
  splitWeights,
  type TracedWeights,
  type Weights,
  weightSpecs,
} from "../model/index.ts";
import {
  compile,
  type FloatTensor,
  floats,
  ints,
  type JaxArray,
  sizeOf,
  type Tensor,
} from "../tensor/index.ts";
import {
  likelihoodLoss,
  type PolicyBatch,
  type PolicyLossOptions,
  type ProbeBatch,
  policyLoss,
} from "./loss.ts";

/** A value per token of a completion, in order, for one rollout. */
export type PerToken = Float32Array;

/** Adds `source` to `target`, name by name. */
export function accumulate(target: Weights, source: Weights): void {
  for (const [name, { data }] of Object.entries(source)) {
    const sum = target[name]!.data;
    for (let i = 0; i < sum.length; i++) sum[i]! += data[i]!;
  }
}

/** Zeros in the shape of the weights. */
export function zerosLike(weights: Weights): Weights {
  return Object.fromEntries(Object.entries(weights).map(([name, { shape }]) => [name, floats(shape)]));
}

/** A loss as a function of the weights that are trained: only these get a gradient. */
function ofTrained<Rest extends unknown[], Result>(loss: (weights: TracedWeights, ...rest: Rest) => Result) {
  return (trained: TracedWeights, frozen: TracedWeights, ...rest: Rest): Result =>
    loss({ ...frozen, ...trained }, ...rest);
}

/** Writes a value per completion token to the positions [B, T] before those tokens. */
function spread(
  batch: Batch,
  sequences: readonly Sequence[],
  value: (index: number, token: number) => number,
): FloatTensor {
  const T = batch.tokens.shape[1]!;
  const tensor = floats(batch.tokens.shape);
  batch.indices.forEach((index, row) => {
    const { promptLength, tokens } = sequences[index]!;
    for (let t = promptLength; t < tokens.length; t++)
      tensor.data[row * T + t - 1] = value(index, t - promptLength);
  });
  return tensor;
}

/** The gradient of the mean negative log-likelihood of completions, token by token, for the weights that are trained. */
export function createLikelihoodGradient(config: ModelConfig) {
  const loss = ofTrained(likelihoodLoss(config));
  const specs = splitWeights(config, weightSpecs(config));
  const create = (rows: number, T: number) => {
    const batch = ints([rows, T]);
    return compile(valueAndGrad(loss), [
      specs.trained,
      specs.frozen,
      batch,
      batch,
      floats([rows, T]),
    ] as const);
  };
  const programs = new ProgramCache<Awaited<ReturnType<typeof create>>>(create);
  return {
    async gradient(
      weights: Weights,
      sequences: readonly Sequence[],
    ): Promise<{ loss: number; gradient: Weights }> {
      const { trained, frozen } = splitWeights(config, weights);
      const gradient = zerosLike(trained);
      const tokens = sequences.reduce(
        (sum, { tokens, promptLength }) => sum + tokens.length - promptLength,
        0,
      );
      let total = 0;
      for (const batch of batchesOf(sequences, batchTokens(config))) {
        const program = await programs.get(...batch.tokens.shape);
        const share = spread(batch, sequences, () => 1 / tokens);
        const [loss, part] = await program.run(trained, frozen, batch.tokens, batch.targets, share);
        total += loss.data[0]!;
        accumulate(gradient, part as Weights);
      }
      return { loss: total, gradient };
    },
    close: () => programs.close(),
  };
}

/** What an update needs of each rollout. */
export interface UpdateRollout extends Sequence {
  advantage: number;
  /** Per completion token: share of the loss, log-probabilities when sampled and under the reference. */
  shares: PerToken;
  oldLogProbs: PerToken;
  referenceLogProbs: PerToken;
}

/** The probe in the loss: where it reads, what it weighs, and how strong it is. */
export interface ProbeInLoss {
  hook: string;
  weight_D: Float32Array;
  bias: number;
  /** Positions of a sequence that its mean logit is taken over, [start, end). */
  positions(sequence: Sequence): [number, number];
  /** Weight of the mean over rollouts of softplus(logit). */
  strength: number;
}

/** The loss, the share of tokens whose ratio is clipped, and the probe's part of the loss. */
export interface UpdateStatistics {
  loss: number;
  clipped: number;
  probeLoss: number;
}

/** The gradient of the policy loss for the weights that are trained: all, or the adapter where the model has one. */
export function createPolicyGradient(
  config: ModelConfig,
  options: Omit<PolicyLossOptions, "probeHook">,
  probe?: ProbeInLoss,
) {
  const loss = ofTrained(policyLoss(config, { ...options, probeHook: probe?.hook }));
  const specs = splitWeights(config, weightSpecs(config));
  const create = (rows: number, T: number) => {
    const tokens = ints([rows, T]);
    const perToken = floats([rows, T]);
    const batch: PolicyBatch<Tensor> = {
      weights: perToken,
      advantages: perToken,
      oldLogProbs: perToken,
      referenceLogProbs: perToken,
    };
    const probed: ProbeBatch<Tensor> | Record<string, never> = probe
      ? { direction: floats([config.width]), bias: floats([]), pool: perToken, weights: floats([rows]) }
      : {};
    const differentiated = valueAndGrad(loss, { hasAux: true });
    return compile(
      differentiated as (
        ...args: Parameters<typeof loss>
      ) => [ReturnType<typeof loss>, Record<string, JaxArray>],
      [specs.trained, specs.frozen, tokens, tokens, batch, probed] as const,
    );
  };
  const programs = new ProgramCache<Awaited<ReturnType<typeof create>>>(create);

  const probeBatch = (
    batch: Batch,
    rollouts: readonly UpdateRollout[],
  ): ProbeBatch<Tensor> | Record<string, never> => {
    if (!probe) return {};
    const [rows, T] = batch.tokens.shape as [number, number];
    const pool = floats([rows, T]);
    const weights = floats([rows]);
    batch.indices.forEach((index, row) => {
      const [start, end] = probe.positions(rollouts[index]!);
      pool.data.fill(1 / (end - start), row * T + start, row * T + end);
      weights.data[row] = probe.strength / rollouts.length;
    });
    const direction = floats([sizeOf([config.width])], probe.weight_D);
    return { direction, bias: floats([], new Float32Array([probe.bias])), pool, weights };
  };

  // Without a pull of its own on every rollout, the loss does not see those without an advantage.
  const needsAll = options.kl > 0 || options.entropy > 0 || probe !== undefined;

  return {
    async gradient(
      weights: Weights,
      all: readonly UpdateRollout[],
    ): Promise<{ gradient: Weights; statistics: UpdateStatistics }> {
      const rollouts = needsAll ? all : all.filter(({ advantage }) => advantage !== 0);
      const { trained, frozen } = splitWeights(config, weights);
      const gradient = zerosLike(trained);
      const statistics: UpdateStatistics = { loss: 0, clipped: 0, probeLoss: 0 };
      for (const batch of batchesOf(rollouts, batchTokens(config))) {
        const program = await programs.get(...batch.tokens.shape);
        const perToken = (value: (rollout: UpdateRollout, token: number) => number) =>
          spread(batch, rollouts, (index, token) => value(rollouts[index]!, token));
        const [[loss, parts], part] = await program.run(
          trained,
          frozen,
          batch.tokens,
          batch.targets,
          {
            weights: perToken((rollout, token) => rollout.shares[token]!),
            advantages: perToken((rollout) => rollout.advantage),
            oldLogProbs: perToken((rollout, token) => rollout.oldLogProbs[token]!),
            referenceLogProbs: perToken((rollout, token) => rollout.referenceLogProbs[token]!),
          },
          probeBatch(batch, rollouts) as Record<string, never>,
        );
        statistics.loss += loss.data[0]!;
        for (const name of ["clipped", "probeLoss"] as const) statistics[name] += parts[name].data[0]!;
        accumulate(gradient, part as Weights);
      }
      return { gradient, statistics };
    },
    close: () => programs.close(),
  };
}

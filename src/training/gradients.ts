/** @file Gradients of a loss over many sequences, accumulated over batches that fit the caches. */

import { valueAndGrad } from "@jax-js/jax";
import { distinct } from "../distinct.ts";
import {
  type Ablation,
  ablating,
  type Batch,
  batchesOf,
  checkHooks,
  type ModelConfig,
  ProgramCache,
  ProgramStore,
  type Sequence,
  splitWeights,
  type TracedWeights,
  type Weights,
  weightSpecs,
} from "../model/index.ts";
import { positionsOf } from "../probe/index.ts";
import { compile, type FloatTensor, floats, ints, type JaxArray, type Tensor } from "../tensor/index.ts";
import {
  likelihoodLoss,
  type PolicyBatch,
  type PolicyLossOptions,
  type ProbeBatch,
  policyLoss,
} from "./loss.ts";
import type { ProbeInLoss } from "./types.ts";

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

/** A loss as a function of the weights that are trained: only these get a gradient. */
function ofTrained<Rest extends unknown[], Result>(loss: (weights: TracedWeights, ...rest: Rest) => Result) {
  return (trained: TracedWeights, frozen: TracedWeights, ...rest: Rest): Result =>
    loss({ ...frozen, ...trained }, ...rest);
}

/** The gradient of the mean negative log-likelihood of completions, token by token, for the weights that are trained. */
export function createLikelihoodGradient(config: ModelConfig) {
  const loss = ofTrained(likelihoodLoss(config));
  const specs = splitWeights(config, weightSpecs(config));
  const create = (rows: number, T: number) => {
    const batch = ints([rows, T]);
    const { trained, frozen } = specs;
    return compile(valueAndGrad(loss), [trained, frozen, batch, batch, floats([rows, T])] as const);
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
      for (const batch of batchesOf(config, sequences)) {
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
  /** What is added to it, token by token. */
  tokenAdvantages?: PerToken | undefined;
  /** Per completion token: share of the loss, log-probabilities when sampled and under the reference. */
  shares: PerToken;
  oldLogProbs: PerToken;
  referenceLogProbs: PerToken;
}

/** Equal rollouts as one, whose shares are theirs together. */
interface MergedRollout extends UpdateRollout {
  count: number;
}

/** Groups hold many equal completions, which had equal fates: their gradient is computed once. */
function merged(rollouts: readonly UpdateRollout[]): MergedRollout[] {
  const { firsts, of } = distinct(rollouts, (rollout) => {
    const { promptLength, tokens, advantage, tokenAdvantages, shares } = rollout;
    const { oldLogProbs, referenceLogProbs } = rollout;
    return [promptLength, tokens, advantage, tokenAdvantages, shares, oldLogProbs, referenceLogProbs].join(
      ";",
    );
  });
  const counts = firsts.map(() => 0);
  for (const index of of) counts[index]!++;
  return firsts.map((rollout, i) => {
    const count = counts[i]!;
    return { ...rollout, count, shares: rollout.shares.map((share) => share * count) };
  });
}

/** The loss, the share of tokens whose ratio is clipped, and the probe's part of the loss. */
export interface UpdateStatistics {
  loss: number;
  clipped: number;
  probeLoss: number;
}

export interface PolicyGradientOptions
  extends Pick<PolicyLossOptions, "temperature" | "clipRange" | "kl" | "entropy"> {
  probe?: ProbeInLoss | undefined;
  /** Tokens read behind every sequence, where the probe reads at a follow-up: its gradient flows through them, too. */
  followUp?: readonly number[];
  /** Megabytes that the activations of one batch may take: the gradient is summed over as many batches as that needs. */
  memoryMB?: number | undefined;
  ablate?: Ablation | undefined;
  /** Compiled programs to share; its own unless given. */
  programs?: ProgramStore | undefined;
}

/** The gradient of the policy loss for the weights that are trained. @throws Error where the probe reads, or the ablation edits, what the model lacks */
export function createPolicyGradient(config: ModelConfig, options: PolicyGradientOptions) {
  const { temperature, clipRange, kl, entropy, probe, followUp = [], memoryMB, ablate } = options;
  const { programs: shared } = options;
  const store = shared ?? new ProgramStore();
  if (probe) checkHooks(config, [probe.probe.tap.hook]);
  const fixed = {
    ...{ temperature, clipRange, kl, entropy },
    probe: probe && { hook: probe.probe.tap.hook, pool: probe.probe.tap.pool, as: probe.as ?? "softplus" },
  };
  const loss = ofTrained(policyLoss(config, { ...fixed, edit: ablate && ablating(config, ablate) }));
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
  const programs = store.cache<Awaited<ReturnType<typeof create>>>(
    JSON.stringify(["policy", config, fixed, ablate]),
    create,
  );

  const probeBatch = (
    batch: Batch,
    rollouts: readonly MergedRollout[],
    total: number,
  ): ProbeBatch<Tensor> | Record<string, never> => {
    if (!probe) return {};
    const { tap, weight_D, bias } = probe.probe;
    const [rows, T] = batch.tokens.shape as [number, number];
    const pool = floats([rows, T]);
    const weights = floats([rows]);
    batch.indices.forEach((index, row) => {
      const { promptLength, tokens, shares, count } = rollouts[index]!;
      const [start, end] = positionsOf(
        tap.positions,
        promptLength,
        tokens.length,
        tokens.length + followUp.length,
      );
      pool.data.fill(1 / (end - start), row * T + start, row * T + end);
      // As one token of the rollout weighs in the policy loss: what makes it the pathwise part of one derivative.
      const share = probe.as === "pathwise" ? shares[0]! : count / total;
      weights.data[row] = probe.strength * share;
    });
    return {
      direction: floats([config.width], weight_D),
      bias: floats([], new Float32Array([bias])),
      ...{ pool, weights },
    };
  };

  // Without a pull of its own on every rollout, the loss does not see those without an advantage.
  const needsAll = kl > 0 || entropy > 0 || probe !== undefined;

  return {
    async gradient(
      weights: Weights,
      all: readonly UpdateRollout[],
    ): Promise<{ gradient: Weights; statistics: UpdateStatistics }> {
      const pulling = needsAll
        ? all
        : all.filter(
            ({ advantage, tokenAdvantages }) => advantage !== 0 || tokenAdvantages?.some((x) => x !== 0),
          );
      const rollouts = merged(pulling);
      const { trained, frozen } = splitWeights(config, weights);
      const gradient = zerosLike(trained);
      const statistics: UpdateStatistics = { loss: 0, clipped: 0, probeLoss: 0 };
      for (const batch of batchesOf(config, rollouts, { followUp, memoryMB })) {
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
            advantages: perToken(
              ({ advantage, tokenAdvantages }, token) => advantage + (tokenAdvantages?.[token] ?? 0),
            ),
            oldLogProbs: perToken((rollout, token) => rollout.oldLogProbs[token]!),
            referenceLogProbs: perToken((rollout, token) => rollout.referenceLogProbs[token]!),
          },
          probeBatch(batch, rollouts, all.length) as Record<string, never>,
        );
        statistics.loss += loss.data[0]!;
        for (const name of ["clipped", "probeLoss"] as const) statistics[name] += parts[name].data[0]!;
        accumulate(gradient, part as Weights);
      }
      return { gradient, statistics };
    },
    close: async () => (shared ? undefined : store.close()),
  };
}

/** @file Gradients of a loss over many sequences, summed over batches that fit the caches. */

import { numpy as np, valueAndGrad } from "@jax-js/jax";
import {
  ablating,
  checkHooks,
  isEmbedded,
  type ModelConfig,
  splitWeights,
  type TracedWeights,
  weightSpecs,
} from "../model/index.ts";
import {
  compile,
  type FloatTensor,
  floats,
  type Handle,
  ints,
  type JaxArray,
  type Tensor,
} from "../tensor/index.ts";
import { batchesOf, layoutSpecs, type PackedBatch } from "./batches.ts";
import { checkDatum, equalAsOne } from "./data.ts";
import type { TokenLoss } from "./gradient-stages.ts";
import { type BatchGradient, gradientByLayers } from "./layered-gradient.ts";
import {
  likelihoodLoss,
  type PolicyBatch,
  type ProbeBatch,
  policyLoss,
  probeSpecs,
  tokenTerms,
} from "./loss.ts";
import { roomOn } from "./memory.ts";
import { atPlaces, type Chunk, placesOf } from "./places.ts";
import type { ProgramStore } from "./programs.ts";
import { poolOf, readPlaces } from "./read.ts";
import type { Datum, Loss, LossMetrics, Sequence } from "./types.ts";
import { type Given, type Placed, sumOf, usedAs } from "./weights.ts";

/** What a gradient is computed with. */
export interface GradientOptions {
  config: ModelConfig;
  programs: ProgramStore;
  /** Megabytes that the activations of one batch may take: the gradient is summed over as many batches as that needs. */
  memoryMB?: number | undefined;
  /** Sequences of a batch, at most. */
  rows?: number | undefined;
}

/** A gradient by the names of the trained weights, and what the loss came to. */
export interface Gathered {
  /** Nothing where there is none yet. */
  gradient: Placed | undefined;
  metrics: LossMetrics;
}

/**
 * Adds a loss's gradient for the weights that are trained.
 *
 * @param gradient what is added to, where there is something, which is freed; the sum takes its place
 * @throws Error where the probe reads, or the ablation edits, what the model lacks; where a datum lacks what the loss needs
 */
export async function addGradient(
  options: GradientOptions,
  weights: Given,
  data: readonly Datum[],
  loss: Loss,
  gradient: Placed | undefined,
): Promise<Gathered> {
  for (const datum of data) checkDatum(datum, loss);
  return loss.kind === "cross_entropy"
    ? addLikelihood(options, weights, data, gradient)
    : addPolicy(options, weights, data, loss, gradient);
}

/** Writes values per completion token to the positions [B, T] before those tokens. */
function spreading(batch: PackedBatch, sequences: readonly Sequence[]) {
  const places = placesOf(batch, sequences);
  return (value: (index: number, token: number) => number): FloatTensor => {
    const tensor = floats(batch.tokens.shape);
    for (const { at, index, token } of places) tensor.data[at] = value(index, token);
    return tensor;
  };
}

/** What a loss tells of a batch: itself, and the sums that `LossMetrics` names. */
type Told = [loss: JaxArray, parts: { clipped: JaxArray; probeLoss: JaxArray }];

/** The loss's gradient for the weights that are trained, and what it tells as three numbers. */
function differentiated<Batch extends readonly unknown[]>(
  loss: (weights: TracedWeights, ...batch: Batch) => Told,
) {
  const ofTrained = (trained: TracedWeights, frozen: TracedWeights, ...batch: Batch) =>
    loss({ ...frozen, ...trained }, ...batch);
  const withGradient = valueAndGrad(ofTrained as never, { hasAux: true }) as unknown as (
    ...args: Parameters<typeof ofTrained>
  ) => [Told, TracedWeights];
  return (trained: TracedWeights, frozen: TracedWeights, ...batch: Batch) => {
    const [[value, { clipped, probeLoss }], gradient] = withGradient(trained, frozen, ...batch);
    const told = np.concatenate([value, clipped, probeLoss].map((one) => one.reshape([1])));
    return { gradient, told };
  };
}

/** Runs a program on each batch, and sums what comes out where it is. */
async function gather(
  programs: ProgramStore,
  batches: readonly PackedBatch[],
  gradient: Placed | undefined,
  run: (batch: PackedBatch) => Promise<BatchGradient>,
): Promise<Gathered> {
  const { runtime } = programs;
  const told: Handle[] = [];
  for (const batch of batches) {
    const own = await run(batch);
    usedAs("gradients", own.gradient);
    gradient = gradient ? await sumOf(programs, gradient, own.gradient) : own.gradient;
    told.push(...own.told);
  }
  const metrics: LossMetrics = { loss: 0, clipFraction: 0, probeLoss: 0 };
  for (const { data } of await Promise.all(told.map((handle) => runtime.get(handle)))) {
    metrics.loss += data[0]!;
    metrics.clipFraction += data[1]!;
    metrics.probeLoss += data[2]!;
  }
  for (const handle of told) runtime.free(handle);
  return { gradient, metrics };
}

async function addLikelihood(
  { config, programs, memoryMB, rows }: GradientOptions,
  weights: Given,
  data: readonly Datum[],
  gradient: Placed | undefined,
): Promise<Gathered> {
  const room = roomOn(programs.runtime.info, { memoryMB, rows });
  const batches = batchesOf(config, data, room);
  if (!isEmbedded(config)) {
    const layered: TokenLoss = {
      ...{ kind: ["cross_entropy"], temperature: 1 },
      terms: ({ logProbs }, { weights }) => ({
        loss: np.sum(logProbs.mul(weights!)).neg(),
        clipped: np.array(0),
      }),
      arrays: (chunk) => ({ weights: atPlaces(chunk, ({ index, token }) => data[index]!.weights[token]!) }),
    };
    return gather(programs, batches, gradient, (batch) =>
      gradientByLayers({ config, programs }, weights, batch, data, layered, room),
    );
  }
  const { trained, frozen } = splitWeights(config, weights);
  const create = (rows: number, T: number) => {
    const batch = ints([rows, T]);
    const specs = splitWeights(config, weightSpecs(config));
    const loss = likelihoodLoss(config);
    const told = (...args: Parameters<typeof loss>): Told => [
      loss(...args),
      { clipped: np.array(0), probeLoss: np.array(0) },
    ];
    return compile(
      differentiated(told),
      [specs.trained, specs.frozen, batch, batch, layoutSpecs(rows, T), floats([rows, T])] as const,
      { runtime: programs.runtime },
    );
  };
  const kind = JSON.stringify(["cross_entropy", config]);
  const cache = programs.cache<Awaited<ReturnType<typeof create>>>(kind, create);
  return gather(programs, batches, gradient, async (batch) => {
    const program = await cache.get(...batch.tokens.shape);
    const share = spreading(batch, data)((index, token) => data[index]!.weights[token]!);
    const { tokens, targets, layout } = batch;
    const { gradient, told } = await program.run(trained, frozen, tokens, targets, layout, share);
    return { gradient, told: [told] };
  });
}

/** What a policy's loss needs of every token of a datum. */
type PerToken = "weights" | "advantages" | "logprobs" | "refLogprobs";

type PolicyGradient = Extract<Loss, { kind: "policy_gradient" }>;

async function addPolicy(
  { config, programs, memoryMB, rows }: GradientOptions,
  weights: Given,
  all: readonly Datum[],
  { temperature, clipRange, kl, entropy, probe: probed, ablate }: PolicyGradient,
  gradient: Placed | undefined,
): Promise<Gathered> {
  if (probed) checkHooks(config, [probed.probe.tap.hook]);
  const fixed = {
    ...{ temperature, clipRange, kl, entropy },
    probe: probed && { hook: probed.probe.tap.hook, pool: probed.probe.tap.pool, as: probed.as },
  };
  // Without a pull of its own on every sequence, the loss does not see those without an advantage.
  const needsAll = kl > 0 || entropy > 0 || probed !== undefined;
  const data = equalAsOne(needsAll ? all : all.filter(({ advantages }) => advantages!.some((x) => x !== 0)));
  const followUp = probed?.followUp ?? [];
  const room = roomOn(programs.runtime.info, { memoryMB, rows });
  const batches = batchesOf(config, data, { followUp, ...room });
  if (!isEmbedded(config)) {
    const of = (name: PerToken) => (chunk: Chunk) =>
      atPlaces(chunk, ({ index, token }) => data[index]![name]![token]!);
    const layered = (batch: PackedBatch): TokenLoss => ({
      ...{ kind: ["policy_gradient", clipRange, kl, entropy], temperature, ablate },
      terms: (next, arrays) =>
        tokenTerms(next, arrays as unknown as PolicyBatch<JaxArray>, { clipRange, kl, entropy }),
      arrays: (chunk) => ({
        weights: of("weights")(chunk),
        advantages: of("advantages")(chunk),
        oldLogProbs: of("logprobs")(chunk),
        referenceLogProbs: of("refLogprobs")(chunk),
      }),
      probe: fixed.probe && probed && { ...fixed.probe, batch: probeBatch(batch, data, probed) },
    });
    return gather(programs, batches, gradient, (batch) =>
      gradientByLayers({ config, programs }, weights, batch, data, layered(batch), room),
    );
  }
  const { trained, frozen } = splitWeights(config, weights);
  const create = (rows: number, T: number, S: number) => {
    const loss = policyLoss(config, { ...fixed, edit: ablate && ablating(config, ablate) });
    const specs = splitWeights(config, weightSpecs(config));
    const tokens = ints([rows, T]);
    const perToken = floats([rows, T]);
    const batch: PolicyBatch<Tensor> = {
      weights: perToken,
      advantages: perToken,
      oldLogProbs: perToken,
      referenceLogProbs: perToken,
    };
    const probe: ProbeBatch<Tensor> | Record<string, never> = probed ? probeSpecs(config, rows * T, S) : {};
    return compile(
      differentiated(loss),
      [specs.trained, specs.frozen, tokens, tokens, layoutSpecs(rows, T), batch, probe] as const,
      { runtime: programs.runtime },
    );
  };
  const cache = programs.cache<Awaited<ReturnType<typeof create>>>(
    JSON.stringify(["policy_gradient", config, fixed, ablate]),
    create,
  );

  return gather(programs, batches, gradient, async (batch) => {
    const probe = probed && probeBatch(batch, data, probed);
    const program = await cache.get(...batch.tokens.shape, probe?.weights.shape[0] ?? 0);
    const spread = spreading(batch, data);
    const perToken = (name: PerToken) => spread((index, token) => data[index]![name]![token]!);
    const { gradient, told } = await program.run(
      trained,
      frozen,
      batch.tokens,
      batch.targets,
      batch.layout,
      {
        weights: perToken("weights"),
        advantages: perToken("advantages"),
        oldLogProbs: perToken("logprobs"),
        referenceLogProbs: perToken("refLogprobs"),
      },
      probe ?? {},
    );
    return { gradient, told: [told] };
  });
}

/** Where the probe reads in each sequence, and how much the sequence counts. */
function probeBatch(
  batch: PackedBatch,
  data: readonly Datum[],
  { probe, followUp }: NonNullable<PolicyGradient["probe"]>,
): ProbeBatch<Tensor> {
  const { tap, weight_D, bias } = probe;
  const places = readPlaces(tap.positions, batch, data, followUp.length);
  const [rows, T] = batch.tokens.shape as [number, number];
  const pool = poolOf(places, rows * T);
  const weights = floats([pool.shape[0]!]);
  batch.indices.forEach((index, s) => {
    weights.data[s] = data[index]!.probeWeight!;
  });
  return {
    direction: floats([weight_D.length], weight_D),
    bias: floats([], new Float32Array([bias])),
    ...{ pool, weights },
  };
}

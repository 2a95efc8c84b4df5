/** @file The programs of a decoder's stages backwards: what its gradient is made of. */

import { grad, numpy as np, valueAndGrad } from "@jax-js/jax";
import {
  type Ablation,
  attentionWithin,
  enterDecoder,
  type NextTokens,
  type TracedWeights,
} from "../model/index.ts";
import {
  compile,
  compileInTwo,
  type FloatTensor,
  floats,
  ints,
  type JaxArray,
  type Tensor,
} from "../tensor/index.ts";
import { type PolicyLossOptions, type ProbeBatch, probeSpecs, probeTerm } from "./loss.ts";
import type { Chunk } from "./places.ts";
import {
  type Asked,
  type Frame,
  frameSpecs,
  kept,
  layerKind,
  nextOf,
  type Staging,
  stageSpecs,
} from "./stages.ts";

/** A loss that is a sum over tokens, and perhaps a probe's term. */
export interface TokenLoss {
  /** All that its terms depend on, but for the arrays. */
  kind: readonly unknown[];
  temperature: number;
  /** The loss of tokens [N], and the share of them that was clipped. */
  terms(next: NextTokens, arrays: Record<string, JaxArray>): { loss: JaxArray; clipped: JaxArray };
  /** What the terms need, each [N]; all 0 where the chunk is filled up. */
  arrays(chunk: Chunk): Record<string, FloatTensor>;
  probe?: (NonNullable<PolicyLossOptions["probe"]> & { batch: ProbeBatch<Tensor> }) | undefined;
  ablate?: Ablation | undefined;
}

/** Is the hook in this layer? */
export function isIn(layer: number, hook: string): boolean {
  return hook.startsWith(`blocks.${layer}.`);
}

/** A layer of a batch, with the loss's probe. */
export type LayerOf = readonly [
  staging: Staging,
  layer: number,
  sizes: readonly [B: number, T: number],
  asked: Asked,
  probe: TokenLoss["probe"],
];

/** A layer with its gradient: what leaves it, and from the pull on that the pull on what enters it. */
function withGradient(...[{ config }, layer, [B, T], asked, probe]: LayerOf) {
  const { kind, trace } = layerKind(config, layer, asked);
  const probing = probe && isIn(layer, probe.hook) ? probe : undefined;
  const { trained, frozen } = stageSpecs(config);
  const [names, others] = [trained.layers[layer]!, frozen.layers[layer]!];
  type Own = { weights: TracedWeights; x: JaxArray };
  type Rest = [TracedWeights, Frame, JaxArray, ProbeBatch<JaxArray> | Record<string, never>];
  const pulled = ({ weights, x }: Own, ...[frozen, { turns, ...sight }, pull_BTD, batch]: Rest) => {
    let read: JaxArray | undefined;
    const y_BTD = trace({ ...frozen, ...weights }, x, turns, attentionWithin(sight), (_, value) => {
      read = value.ref;
    });
    const along = np.sum(y_BTD.ref.mul(pull_BTD));
    const terms = read && probing ? [probeTerm(read, batch as ProbeBatch<JaxArray>, probing)] : [];
    return [terms.reduce((sum, term) => sum.add(term.ref), along), { y_BTD, terms }] as const;
  };
  const differentiated = valueAndGrad(pulled as never, { hasAux: true }) as unknown as (
    ...args: [Own, ...Rest]
  ) => [[JaxArray, { y_BTD: JaxArray; terms: JaxArray[] }], Own];
  return {
    kind: [kind, probing && [probing.pool, probing.as, probing.batch.weights.shape]],
    specs: () => {
      const stream = floats([B, T, config.width]);
      const S = probing?.batch.weights.shape[0] ?? 0;
      const probes: ProbeBatch<FloatTensor> | Record<string, never> = probing
        ? probeSpecs(config, B * T, S)
        : {};
      return {
        early: [names, others, stream, frameSpecs(config, layer, B, T)] as const,
        late: [stream, probes] as const,
      };
    },
    run: (
      trained: TracedWeights,
      frozen: TracedWeights,
      x: JaxArray,
      ...rest: [Frame, JaxArray, Rest[3]]
    ) => {
      const [[, { y_BTD, terms }], own] = differentiated({ weights: trained, x }, frozen, ...rest);
      const told = terms.map((term) => threeOf(term.ref, np.array(0), term));
      return [y_BTD, { gradient: own.weights, pull: own.x, told }] as [JaxArray, LayerPull<JaxArray>];
    },
  };
}

/** What the backward pass makes of a layer. */
interface LayerPull<T> {
  gradient: Record<string, T>;
  pull: T;
  /** Of the probe's term, where it is in this layer. */
  told: T[];
}

/** Forwards and backwards, with what is kept between. */
export function layerInTwo(...of: LayerOf) {
  const [{ programs }, , sizes] = of;
  const { kind, specs, run } = withGradient(...of);
  return kept(programs, ["layer in two", kind, ...sizes], () => {
    const { early, late } = specs();
    return compileInTwo(run, early, late, { runtime: programs.runtime });
  });
}

/** Backwards, with the forward pass done again. */
export function layerAgain(...of: LayerOf) {
  const [{ programs }, , sizes] = of;
  const { kind, specs, run } = withGradient(...of);
  return kept(programs, ["layer again", kind, ...sizes], () => {
    const { early, late } = specs();
    const again = (...args: Parameters<typeof run>) => run(...args)[1];
    return compile(again, [...early, ...late] as const, { runtime: programs.runtime });
  });
}

/** Out of the stream: the loss of tokens after rows of it [N, D], and its gradient for what is trained there and for those rows. */
export function leaveGradient(
  { config, programs }: Staging,
  N: number,
  { kind, temperature, terms }: TokenLoss,
  names: readonly string[],
) {
  const { trained, frozen } = stageSpecs(config);
  const arrays: Record<string, FloatTensor> = Object.fromEntries(names.map((name) => [name, floats([N])]));
  type Own = { weights: TracedWeights; rows_ND: JaxArray };
  const lossOf = (
    { weights, rows_ND }: Own,
    others: TracedWeights,
    targets_N: JaxArray,
    arrays: Record<string, JaxArray>,
  ) => {
    const next = nextOf(config, { ...others, ...weights }, rows_ND, targets_N, temperature);
    const { loss, clipped } = terms(next, arrays);
    return [loss, clipped] as const;
  };
  const differentiated = valueAndGrad(lossOf as never, { hasAux: true }) as unknown as (
    ...args: Parameters<typeof lossOf>
  ) => [[JaxArray, JaxArray], Own];
  return kept(programs, ["leave gradient", config, kind, temperature, N], () =>
    compile(
      (
        weights: TracedWeights,
        others: TracedWeights,
        rows_ND: JaxArray,
        targets_N: JaxArray,
        arrays: Record<string, JaxArray>,
      ) => {
        const [[loss, clipped], own] = differentiated({ weights, rows_ND }, others, targets_N, arrays);
        return { gradient: own.weights, pull: own.rows_ND, told: threeOf(loss, clipped, np.array(0)) };
      },
      [trained.leave, frozen.leave, floats([N, config.width]), ints([N]), arrays] as const,
      { runtime: programs.runtime },
    ),
  );
}

/**
 * The pull on the whole stream [B, T, D] from those on chunks of its rows [N, D]: `from` says which row is which, counted through
 * the chunks, and names the one behind them where there is none. A look-up, where adding rows up would take devices turns.
 */
export function spreadPull(
  { config, programs }: Staging,
  [B, T, N]: readonly [number, number, number],
  chunks: number,
) {
  const D = config.width;
  return kept(programs, ["spread pull", D, B, T, N, chunks], () =>
    compile(
      (pulls: JaxArray[], from_BT: JaxArray) => np.concatenate([...pulls, np.zeros([1, D])]).slice(from_BT),
      [Array<FloatTensor>(chunks).fill(floats([N, D])), ints([B, T])] as const,
      { runtime: programs.runtime },
    ),
  );
}

/** Into the stream: the gradient for embeddings. */
export function enterGradient({ config, programs }: Staging, B: number, T: number) {
  const specs = stageSpecs(config).trained.enter;
  const along = (weights: TracedWeights, tokens_BT: JaxArray, positions: JaxArray, pull_BTD: JaxArray) =>
    np.sum(enterDecoder(weights, tokens_BT, positions, config).x.mul(pull_BTD));
  return kept(programs, ["enter gradient", config, B, T], () =>
    compile(
      (...args: Parameters<typeof along>) =>
        (grad(along as never) as unknown as typeof along)(...args) as unknown as TracedWeights,
      [specs, ints([B, T]), ints([B, T]), floats([B, T, config.width])] as const,
      { runtime: programs.runtime },
    ),
  );
}

function threeOf(...three: JaxArray[]): JaxArray {
  return np.concatenate(three.map((one) => one.reshape([1])));
}

/** @file The two programs of generation: reading prompts, and one more token with a cache of keys and values. */

import { numpy as np } from "@jax-js/jax";
import {
  type Ablation,
  type Attend,
  ablating,
  byStage,
  cacheAttention,
  cacheHeads,
  causalAttention,
  type DecoderConfig,
  enterDecoder,
  hiddenStates,
  isEmbedded,
  type KeysValues,
  leaveDecoder,
  logitsOf,
  type ModelConfig,
  type TracedWeights,
  type Turns,
  weightSpecs,
} from "../model/index.ts";
import {
  Composer,
  compile,
  compileTraced,
  type FloatTensor,
  floats,
  type Handle,
  ints,
  type JaxArray,
  type Runtime,
  type Tensor,
  type TensorSpec,
  type Traced,
  type Tree,
  traceOf,
  type Wires,
} from "../tensor/index.ts";
import { wholeRows } from "./batches.ts";
import type { ProgramStore } from "./programs.ts";
import { kept, layerKind, stageSpecs, throughLayers, turnsSpecs } from "./stages.ts";
import type { Given } from "./weights.ts";

/** One layer's keys and values, each [slots, Hkv, positions, Dh]. */
export interface CacheLayer<T = Handle> {
  keys: T;
  values: T;
}

/** Prompts that were read: logits [B, V] of the next token of each, and all their keys and values. */
export interface ReadPrompts {
  logits: Handle;
  cache: CacheLayer[];
}

/** What reads B prompts [B, T] that start at position 0, and end at positions `last_B`. */
export type Prefill = (weights: Given, tokens_BT: Tensor, last_B: Tensor) => Promise<ReadPrompts>;

/** How prompts are read. */
export async function prefill(
  programs: ProgramStore,
  config: ModelConfig,
  ablate: Ablation | undefined,
  [B, T]: readonly [number, number],
): Promise<Prefill> {
  if (!isEmbedded(config)) return prefillByLayers(programs, config, ablate, [B, T]);
  const edit = ablate && ablating(config, ablate);
  const program = await kept(programs, ["prefill", config, ablate, B, T], () =>
    compile(
      (weights: TracedWeights, tokens_BT: JaxArray, last_B: JaxArray) => {
        const cache: KeysValues[] = [];
        const causal = causalAttention(T);
        const attend: Attend = (layer, queries, kv) => {
          cache.push({ keys: kv.keys.ref, values: kv.values.ref });
          return causal(layer, queries, kv);
        };
        const positions = np.arange(T).astype(np.int32);
        const states_BTD = hiddenStates(weights, tokens_BT, positions, config, attend, undefined, edit);
        const last_BD = states_BTD.slice(np.arange(B).astype(np.int32), last_B);
        return { logits: logitsOf(weights, last_BD, config), cache };
      },
      [weightSpecs(config), ints([B, T]), ints([B])] as const,
      { runtime: programs.runtime },
    ),
  );
  return (weights, tokens_BT, last_B) => program.run(weights, tokens_BT, last_B);
}

/** The same for a decoder: a layer at a time. */
async function prefillByLayers(
  programs: ProgramStore,
  config: DecoderConfig,
  ablate: Ablation | undefined,
  [B, T]: readonly [number, number],
): Promise<Prefill> {
  const { runtime } = programs;
  const staging = { config, programs };
  const specs = stageSpecs(config).all.leave;
  const leave = await kept(programs, ["leave last", config, B, T], () =>
    compile(
      (weights: TracedWeights, x_BTD: JaxArray, last_B: JaxArray) => {
        const last_BD = x_BTD.slice(np.arange(B).astype(np.int32), last_B);
        return logitsOf(weights, leaveDecoder(weights, last_BD, config), config);
      },
      [specs, floats([B, T, config.width]), ints([B])] as const,
      { runtime },
    ),
  );
  const layout = wholeRows(B, T);
  return async (weights, tokens_BT, last_B) => {
    const stages = byStage(config, weights);
    const cache: CacheLayer[] = [];
    const x = await throughLayers(
      staging,
      stages,
      { tokens: tokens_BT, layout },
      { ablate, cache: true },
      (_, seen) => {
        cache.push(...seen.cache);
      },
    );
    const logits = await leave.run(stages.leave, x, last_B);
    runtime.free(x);
    return { logits, cache };
  };
}

/** What is specified of a decoding program: weights, tokens and their positions [B, 1], caches of layers, and the mask [B, C]. */
function decodeSpecs(config: ModelConfig, B: number, C: number) {
  const { heads: H, headDim: Dh } = cacheHeads(config);
  const layer: CacheLayer<FloatTensor> = { keys: floats([B, H, C, Dh]), values: floats([B, H, C, Dh]) };
  const specs: [ReturnType<typeof weightSpecs>, Tensor, Tensor, CacheLayer<FloatTensor>[], FloatTensor] = [
    weightSpecs(config),
    ints([B, 1]),
    ints([B, 1]),
    Array(config.layers).fill(layer),
    floats([B, C]),
  ];
  return specs;
}

/**
 * Compiles: logits [B, V] after one more token per row, and that token's keys and values [B, Hkv, 1, Dh]. They are
 * copied into the cache afterwards; the program never writes it anew.
 */
export async function compileDecode(
  runtime: Runtime,
  config: ModelConfig,
  ablate: Ablation | undefined,
  B: number,
  C: number,
) {
  const specs = decodeSpecs(config, B, C);
  type Decoded = { logits: Tensor; fresh: CacheLayer<Tensor>[] };
  const traced = isEmbedded(config)
    ? await traceOf(
        (weights: TracedWeights, token_B1: JaxArray, position_B1: JaxArray, ...[cache, mask_BC]: Cached) => {
          const fresh: KeysValues[] = [];
          const attendToCache = cacheAttention(cache, mask_BC);
          const attend: Attend = (layer, queries, kv) => {
            fresh.push({ keys: kv.keys.ref, values: kv.values.ref });
            return attendToCache(layer, queries, kv);
          };
          const edit = ablate && ablating(config, ablate);
          const states_B1D = hiddenStates(weights, token_B1, position_B1, config, attend, undefined, edit);
          mask_BC.dispose();
          const logits = logitsOf(weights, states_B1D.reshape([B, config.width]), config);
          return { logits, fresh };
        },
        specs,
      )
    : await decoderStep(config, ablate, specs);
  return compileTraced<typeof specs, Decoded>(traced, specs, { runtime });
}

type Cached = [cache: KeysValues[], mask_BC: JaxArray];

/** A decoder's step, put together from its stages: each kind of layer is traced once. */
async function decoderStep(
  config: DecoderConfig,
  ablate: Ablation | undefined,
  specs: ReturnType<typeof decodeSpecs>,
): Promise<Traced> {
  const [weights, token, position, [layerCache], mask] = specs;
  const B = token.shape[0]!;
  const stream = floats([B, 1, config.width]);
  const stages = byStage(config, weights);
  const enter = await traceOf(
    (own: TracedWeights, token_B1: JaxArray, position_B1: JaxArray) =>
      enterDecoder(own, token_B1, position_B1, config),
    [stages.enter, token, position],
  );
  const leave = await traceOf(
    (own: TracedWeights, x_B1D: JaxArray) =>
      logitsOf(own, leaveDecoder(own, x_B1D.reshape([B, config.width]), config), config),
    [stages.leave, stream],
  );
  const kinds = new Map<string, Traced>();
  const whole = new Composer();
  const [given, newest, at, caches, masked] = specs.map((spec) => whole.inputs(spec as Tree<TensorSpec>));
  const inputs = byStage(config, given as Record<string, Wires>);
  let { x, turns } = whole.call(enter, inputs.enter, newest!, at!) as { x: Wires; turns: Wires };
  const fresh: Wires[] = [];
  for (const [layer, own] of inputs.layers.entries()) {
    const { kind, trace } = layerKind(config, layer, { ablate });
    const step = (
      own: TracedWeights,
      x_B1D: JaxArray,
      turns: Turns,
      cache: KeysValues,
      mask_BC: JaxArray,
    ) => {
      const kept: KeysValues[] = [];
      const attendToCache = cacheAttention([cache], mask_BC);
      const y_B1D = trace(own, x_B1D, turns, (queries, kv) => {
        kept.push({ keys: kv.keys.ref, values: kv.values.ref });
        return attendToCache(0, queries, kv);
      });
      mask_BC.dispose();
      return [y_B1D, kept[0]!];
    };
    if (!kinds.has(kind))
      kinds.set(
        kind,
        await traceOf(step, [stages.layers[layer]!, stream, turnsSpecs(config, B, 1), layerCache!, mask]),
      );
    const cache = (caches as Wires[])[layer]!;
    const [y, added] = whole.call(kinds.get(kind)!, own, x, turns, cache, masked!) as Wires[];
    x = y!;
    fresh.push(added!);
  }
  const logits = whole.call(leave, inputs.leave, x);
  return whole.finish({ logits, fresh });
}

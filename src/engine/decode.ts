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
  entropyOf,
  hiddenStates,
  type InLayer,
  isEmbedded,
  type KeysValues,
  leaveDecoder,
  logitsOf,
  type ModelConfig,
  type TracedWeights,
  type Turns,
  turnsIndex,
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

/** What of every token is kept beside its keys and values, so that it can be read afterwards. */
export interface Kept {
  /** Activations by their hooks. */
  hooks: readonly string[];
  /** Divides the logits of the distribution whose entropy is kept. */
  temperature: number;
}

/** How a model decodes. */
export interface Decodes {
  ablate?: Ablation | undefined;
  kept?: Kept | undefined;
}

/**
 * What is cached of every token, as [H, D] of arrays [slots, H, positions, D]: each layer's keys and its values, and, where it is kept,
 * each hook's activation and the entropy of the next token.
 */
export function cacheSizes(config: ModelConfig, keep: Kept | undefined): [H: number, D: number][] {
  const { heads, headDim } = cacheHeads(config);
  const keysValues = Array.from({ length: 2 * config.layers }, (): [number, number] => [heads, headDim]);
  if (!keep) return keysValues;
  return [...keysValues, ...keep.hooks.map((): [number, number] => [1, config.width]), [1, 1]];
}

/** Prompts that were read: logits [B, V] of the next token of each, and the cache of all their tokens. */
export interface ReadPrompts {
  logits: Handle;
  cache: Handle[];
}

/** What reads B prompts [B, T] that start at position 0, and end at positions `last_B`. */
export type Prefill = (weights: Given, tokens_BT: Tensor, last_B: Tensor) => Promise<ReadPrompts>;

/** How prompts are read. */
export async function prefill(
  programs: ProgramStore,
  config: ModelConfig,
  { ablate, kept: keep }: Decodes,
  [B, T]: readonly [number, number],
): Promise<Prefill> {
  if (!isEmbedded(config)) return prefillByLayers(programs, config, { ablate, kept: keep }, [B, T]);
  const edit = ablate && ablating(config, ablate);
  const program = await kept(programs, ["prefill", config, ablate, keep, B, T], () =>
    compile(
      (weights: TracedWeights, tokens_BT: JaxArray, last_B: JaxArray) => {
        const cache: KeysValues[] = [];
        const seen: Record<string, JaxArray> = {};
        const causal = causalAttention(T);
        const attend: Attend = (layer, queries, kv) => {
          cache.push({ keys: kv.keys.ref, values: kv.values.ref });
          return causal(layer, queries, kv);
        };
        const observe = (hook: string, x_BTD: JaxArray) => {
          if (keep?.hooks.includes(hook)) seen[hook] = x_BTD.ref.reshape([B, 1, T, config.width]);
        };
        const positions = np.arange(T).astype(np.int32);
        const states_BTD = hiddenStates(weights, tokens_BT, positions, config, attend, observe, edit);
        const last_BD = states_BTD.slice(np.arange(B).astype(np.int32), last_B.ref);
        const logits = logitsOf(weights, last_BD, config);
        const next = keep ? [entropyAt(logits, keep, last_B.ref, T)] : [];
        last_B.dispose();
        return { logits, cache, kept: [...(keep?.hooks ?? []).map((hook) => seen[hook]!), ...next] };
      },
      [weightSpecs(config), ints([B, T]), ints([B])] as const,
      { runtime: programs.runtime },
    ),
  );
  return async (weights, tokens_BT, last_B) => {
    const { logits, cache, kept } = await program.run(weights, tokens_BT, last_B);
    return { logits, cache: [...cache.flatMap(({ keys, values }) => [keys, values]), ...kept] };
  };
}

/** The entropy of the next token after position `last_B` of T: [B, 1, T, 1], 0 at all others. */
function entropyAt(logits_BV: JaxArray, keep: Kept, last_B: JaxArray, T: number): JaxArray {
  const B = logits_BV.shape[0]!;
  const here = np.equal(np.arange(T).astype(np.int32), last_B.reshape([B, 1])).astype(np.float32);
  const entropies = entropyOf(logits_BV.ref, keep.temperature).reshape([B, 1]);
  return here.mul(entropies).reshape([B, 1, T, 1]);
}

/** The same for a decoder: a layer at a time. */
async function prefillByLayers(
  programs: ProgramStore,
  config: DecoderConfig,
  { ablate, kept: keep }: Decodes,
  [B, T]: readonly [number, number],
): Promise<Prefill> {
  const { runtime } = programs;
  const staging = { config, programs };
  const specs = stageSpecs(config).all.leave;
  const stream = floats([B, T, config.width]);
  const leave = await kept(programs, ["leave last", config, keep?.temperature, B, T], () =>
    compile(
      (weights: TracedWeights, x_BTD: JaxArray, last_B: JaxArray) => {
        const last_BD = x_BTD.slice(np.arange(B).astype(np.int32), last_B.ref);
        const logits = logitsOf(weights, leaveDecoder(weights, last_BD, config), config);
        const next = keep ? [entropyAt(logits, keep, last_B.ref, T)] : [];
        last_B.dispose();
        return { logits, next };
      },
      [specs, stream, ints([B])] as const,
      { runtime },
    ),
  );
  const asCache = await kept(programs, ["as cache", B, T, config.width], () =>
    compile((x_BTD: JaxArray) => x_BTD.reshape([B, 1, T, config.width]), [stream] as const, { runtime }),
  );
  const layout = wholeRows(B, T);
  return async (weights, tokens, last_B) => {
    const stages = byStage(config, weights);
    const cache: Handle[] = [];
    const taps: Record<string, Handle> = {};
    const asked = { hooks: keep?.hooks ?? [], ablate, cache: true };
    const x = await throughLayers(
      staging,
      stages,
      { tokens, layout },
      asked,
      (layer, { seen, cache: added }) => {
        cache.push(...added.flatMap(({ keys, values }) => [keys, values]));
        for (const [site, value] of Object.entries(seen)) taps[`blocks.${layer}.${site}`] = value;
      },
    );
    const { logits, next } = await leave.run(stages.leave, x, last_B);
    runtime.free(x);
    for (const hook of asked.hooks) {
      cache.push(await asCache.run(taps[hook]!));
      runtime.free(taps[hook]!);
    }
    return { logits, cache: [...cache, ...next] };
  };
}

/** What is specified of a decoding program: weights, tokens and their positions [B, 1], what is cached, and the mask [B, C]. */
function decodeSpecs(config: ModelConfig, keep: Kept | undefined, B: number, C: number) {
  const cache = cacheSizes(config, keep).map(([H, D]) => floats([B, H, C, D]));
  const specs: [ReturnType<typeof weightSpecs>, Tensor, Tensor, FloatTensor[], FloatTensor] = [
    weightSpecs(config),
    ints([B, 1]),
    ints([B, 1]),
    cache,
    floats([B, C]),
  ];
  return specs;
}

/**
 * Compiles: logits [B, V] after one more token per row, and what is cached of that token, [B, H, 1, D] each. That is
 * copied into the cache afterwards; the program never writes it anew.
 */
export async function compileDecode(
  runtime: Runtime,
  config: ModelConfig,
  { ablate, kept: keep }: Decodes,
  B: number,
  C: number,
) {
  const specs = decodeSpecs(config, keep, B, C);
  type Decoded = { logits: Tensor; fresh: Tensor[] };
  const traced = isEmbedded(config)
    ? await traceOf(
        (weights: TracedWeights, token_B1: JaxArray, position_B1: JaxArray, ...[cache, mask_BC]: Cached) => {
          const fresh: JaxArray[] = [];
          const seen: Record<string, JaxArray> = {};
          const held = Array.from({ length: config.layers }, (_, layer): KeysValues => {
            return { keys: cache[2 * layer]!, values: cache[2 * layer + 1]! };
          });
          const attendToCache = cacheAttention(held, mask_BC);
          const attend: Attend = (layer, queries, kv) => {
            fresh.push(kv.keys.ref, kv.values.ref);
            return attendToCache(layer, queries, kv);
          };
          const observe = (hook: string, x_B1D: JaxArray) => {
            if (keep?.hooks.includes(hook)) seen[hook] = x_B1D.ref.reshape([B, 1, 1, config.width]);
          };
          const edit = ablate && ablating(config, ablate);
          const states_B1D = hiddenStates(weights, token_B1, position_B1, config, attend, observe, edit);
          mask_BC.dispose();
          const logits = logitsOf(weights, states_B1D.reshape([B, config.width]), config);
          fresh.push(...(keep?.hooks ?? []).map((hook) => seen[hook]!));
          if (keep) fresh.push(entropyOf(logits.ref, keep.temperature).reshape([B, 1, 1, 1]));
          return { logits, fresh };
        },
        specs,
      )
    : await decoderStep(config, { ablate, kept: keep }, specs);
  return compileTraced<typeof specs, Decoded>(traced, specs, { runtime });
}

type Cached = [cache: JaxArray[], mask_BC: JaxArray];

/** A decoder's step, put together from its stages: into the stream, blocks of layers, out of it. Each kind of layer is traced once. */
async function decoderStep(
  config: DecoderConfig,
  { ablate, kept: keep }: Decodes,
  specs: ReturnType<typeof decodeSpecs>,
): Promise<Traced> {
  const [weights, token, position, cache, mask] = specs;
  const hooks = keep?.hooks ?? [];
  const [B, C] = mask.shape as [number, number];
  const stream = floats([B, 1, config.width]);
  const stages = byStage(config, weights);
  const enter = await traceOf(
    (own: TracedWeights, token_B1: JaxArray, position_B1: JaxArray) =>
      enterDecoder(own, token_B1, position_B1, config),
    [stages.enter, token, position],
  );
  const entropies = keep ? [floats([B, 1, C, 1])] : [];
  const leave = await traceOf(
    (own: TracedWeights, x_B1D: JaxArray, _: JaxArray[]) => {
      const states_BD = leaveDecoder(own, x_B1D.reshape([B, config.width]), config);
      const logits = logitsOf(own, states_BD, config);
      const next = keep ? [entropyOf(logits.ref, keep.temperature).reshape([B, 1, 1, 1])] : [];
      return [logits, next];
    },
    [stages.leave, stream, entropies],
  );
  const kinds: string[] = [];
  const steps = new Map<string, Traced>();
  /** The hooks that each layer has. */
  const sites = stages.layers.map((_, layer) =>
    hooks.filter((hook) => hook.startsWith(`blocks.${layer}.`)).map((hook) => hook.split(".")[2]!),
  );
  /** The cached of each layer: keys, values, and activations that are kept. */
  const ofLayers = <T>(all: readonly T[]): T[][] =>
    sites.map((own, layer) => [
      ...all.slice(2 * layer, 2 * layer + 2),
      ...own.map((site) => all[2 * config.layers + hooks.indexOf(`blocks.${layer}.${site}`)]!),
    ]);
  const held = ofLayers(cache);
  for (const [layer, own] of stages.layers.entries()) {
    const { kind, trace } = layerKind(config, layer, { hooks, ablate });
    const step = (
      own: TracedWeights,
      x_B1D: JaxArray,
      turns: Turns,
      [keys, values]: JaxArray[],
      mask_BC: JaxArray,
    ) => {
      const fresh: JaxArray[] = [];
      const seen: Record<string, JaxArray> = {};
      const attendToCache = cacheAttention([{ keys: keys!, values: values! }], mask_BC);
      const attend: InLayer["attend"] = (queries, kv, scoring) => {
        fresh.push(kv.keys.ref, kv.values.ref);
        return attendToCache(0, queries, kv, scoring);
      };
      const y_B1D = trace(own, x_B1D, turns, attend, (site, value) => {
        seen[site] = value.ref.reshape([B, 1, 1, config.width]);
      });
      mask_BC.dispose();
      return [y_B1D, [...fresh, ...sites[layer]!.map((site) => seen[site]!)]];
    };
    kinds.push(kind);
    if (!steps.has(kind))
      steps.set(
        kind,
        await traceOf(step, [own, stream, turnsSpecs(config, layer, B, 1), held[layer]!, mask]),
      );
  }

  const whole = new Composer();
  const [given, newest, at, caches, masked] = specs.map((spec) => whole.inputs(spec as Tree<TensorSpec>));
  const inputs = byStage(config, given as Record<string, Wires>);
  const cached = ofLayers(caches as Wires[]);
  let { x, turns } = whole.call(enter, inputs.enter, newest!, at!) as { x: Wires; turns: Wires[] };
  const turnsOfLayers = stages.layers.map((_, layer) => turns[turnsIndex(config, layer)] ?? {});
  const fresh: Wires[][] = [];
  const blocks = new Map<string, Traced>();
  for (const [from, to] of blocksOf(kinds)) {
    const key = kinds.slice(from, to).join();
    const block =
      blocks.get(key) ??
      asBlock(
        kinds.slice(from, to).map((kind) => steps.get(kind)!),
        [
          ...[stages.layers.slice(from, to), stream],
          kinds.slice(from, to).map((_, i) => turnsSpecs(config, from + i, B, 1)),
          ...[held.slice(from, to), mask],
        ] as Tree<TensorSpec>[],
      );
    blocks.set(key, block);
    const ofBlock = <T>(ofLayers: readonly T[]) => ofLayers.slice(from, to);
    const given = [ofBlock(inputs.layers), x, ofBlock(turnsOfLayers), ofBlock(cached), masked!] as const;
    const [y, added] = whole.call(block, ...given) as Wires[];
    x = y!;
    fresh.push(...(added as Wires[][]));
  }
  const [logits, next] = whole.call(
    leave,
    inputs.leave,
    x,
    keep ? [(caches as Wires[]).at(-1)!] : [],
  ) as Wires[];
  const activation = (hook: string) => {
    const [, layer, site] = hook.split(".");
    return fresh[Number(layer)]![2 + sites[Number(layer)]!.indexOf(site!)]!;
  };
  const keysValues = fresh.flatMap((own) => own.slice(0, 2));
  return whole.finish({
    logits: logits!,
    fresh: [...keysValues, ...hooks.map(activation), ...(next as Wires[])],
  });
}

/** Some layers as one program. */
function asBlock(steps: readonly Traced[], specs: readonly Tree<TensorSpec>[]): Traced {
  const block = new Composer();
  const [weights, entering, turns, caches, mask] = specs.map((spec) => block.inputs(spec));
  let x = entering!;
  const fresh: Wires[][] = [];
  for (const [i, step] of steps.entries()) {
    const [own, turned, cache] = [weights, turns, caches].map((each) => (each as Wires[])[i]!);
    const [y, added] = block.call(step, own!, x, turned!, cache!, mask!) as Wires[];
    x = y!;
    fresh.push(added as Wires[]);
  }
  return block.finish([x, fresh]);
}

/** So many layers are one program at most: a runtime that compiles each program once compiles no more, however many there are. */
const IN_BLOCK = 8;

/**
 * Layers in blocks, from and to, of which alike ones are one program: as long as they can be while no more than `IN_BLOCK`
 * layers are in different programs.
 */
export function blocksOf(kinds: readonly string[]): [from: number, to: number][] {
  const ways = Array.from({ length: IN_BLOCK }, (_, i) => {
    const size = IN_BLOCK - i;
    const blocks: [number, number][] = [];
    for (let from = 0; from < kinds.length; from += size)
      blocks.push([from, Math.min(from + size, kinds.length)]);
    const different = new Map(blocks.map(([from, to]) => [kinds.slice(from, to).join(), to - from]));
    return { blocks, compiled: [...different.values()].reduce((sum, length) => sum + length, 0) };
  });
  const few = ways.find(({ compiled }) => compiled <= IN_BLOCK);
  return (few ?? ways.reduce((best, way) => (way.compiled < best.compiled ? way : best))).blocks;
}

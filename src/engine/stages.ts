/** @file The programs of a decoder's stages: into the stream, through a layer, out of it. One serves all layers that are alike. */

import {
  type Ablation,
  ablatedHooks,
  ablating,
  attentionWithin,
  type ByStage,
  byStage,
  type DecoderConfig,
  decoderLayer,
  enterDecoder,
  type InLayer,
  type KeysValues,
  type Layout,
  leaveDecoder,
  maskOf,
  type NextTokens,
  nextTokens,
  rotaries,
  splitWeights,
  type TracedWeights,
  type Turns,
  traitsOf,
  turnsIndex,
  type Visible,
  weightSpecs,
} from "../model/index.ts";
import {
  compile,
  type FloatTensor,
  floats,
  type Handle,
  ints,
  type JaxArray,
  type Runtime,
  type Tensor,
  type TensorSpec,
} from "../tensor/index.ts";
import { layoutSpecs, type PackedBatch } from "./batches.ts";
import type { Closable, ProgramStore } from "./programs.ts";
import type { Placed } from "./weights.ts";

/** What stages are compiled with. */
export interface Staging {
  config: DecoderConfig;
  programs: ProgramStore;
}

/** What is specified of a model's weights, by stage: of all, of those that are trained, and of the others. */
interface StageSpecs {
  all: ByStage<TensorSpec>;
  trained: ByStage<TensorSpec>;
  frozen: ByStage<TensorSpec>;
}

const specified = new WeakMap<DecoderConfig, StageSpecs>();

/** Made once for a configuration: a step asks for them hundreds of times. */
export function stageSpecs(config: DecoderConfig): StageSpecs {
  const known = specified.get(config);
  if (known) return known;
  const specs = weightSpecs(config);
  const { trained, frozen } = splitWeights(config, specs);
  const [all, ...split] = [specs, trained, frozen].map((some) => byStage(config, some));
  const made = { all: all!, trained: split[0]!, frozen: split[1]! };
  specified.set(config, made);
  return made;
}

/** What is asked of a layer beside what it hands on. */
export interface Asked {
  /** Hooks of the model whose activations are wanted. */
  hooks?: readonly string[];
  ablate?: Ablation | undefined;
  /** Are its keys and values wanted? */
  cache?: boolean;
}

/** A layer as it is traced, and all that it depends on, but for the sizes: layers of one kind share programs. */
export interface LayerKind {
  kind: string;
  /** The layer's output [B, T, D]. `see` takes the activations that are asked for, which it does not own. */
  trace(
    weights: TracedWeights,
    x_BTD: JaxArray,
    turns: Turns,
    attend: InLayer["attend"],
    see?: (site: string, value: JaxArray) => void,
  ): JaxArray;
}

const kinds = new WeakMap<DecoderConfig, Map<string, LayerKind>>();

/** @throws Error where the ablation edits what the model lacks */
export function layerKind(config: DecoderConfig, layer: number, asked: Asked): LayerKind {
  const known = kinds.get(config) ?? new Map<string, LayerKind>();
  kinds.set(config, known);
  const key = JSON.stringify([layer, asked]);
  const kind = known.get(key) ?? describeLayer(config, layer, asked);
  known.set(key, kind);
  return kind;
}

function describeLayer(
  config: DecoderConfig,
  layer: number,
  { hooks = [], ablate, cache = false }: Asked,
): LayerKind {
  const block = `blocks.${layer}.`;
  const inBlock = (names: Iterable<string>) =>
    [...names].filter((name) => name.startsWith(block)).map((name) => name.slice(block.length));
  const seen = inBlock(hooks);
  const edited = ablate ? inBlock(ablatedHooks(config, ablate)) : [];
  const edit = ablate && edited.length > 0 ? ablating(config, ablate) : undefined;
  const { all, trained } = stageSpecs(config);
  const names = [all, trained].map(({ layers }) => Object.keys(layers[layer]!));
  const traits = traitsOf(config, layer);
  const { sliding: _, adapter: __, ...shared } = { ...config, layers: 1 };
  return {
    kind: JSON.stringify([shared, traits, names, seen, edit ? [edited, ablate] : null, cache]),
    trace(weights, x_BTD, turns, attend, see = () => {}) {
      const observe = (site: string, value: JaxArray) => {
        if (seen.includes(site)) see(site, value);
      };
      return decoderLayer(weights, x_BTD, turns, config, traits, {
        attend,
        observe,
        stream: (site, value) => {
          observe(site, value);
          return edit ? edit(`${block}${site}`, value) : value;
        },
      });
    },
  };
}

/** How positions [rows, T] are turned in a layer. */
export function turnsSpecs(
  config: DecoderConfig,
  layer: number,
  rows: number,
  T: number,
): Turns<FloatTensor> {
  const own = rotaries(config)[turnsIndex(config, layer)];
  if (!own) return {};
  const each = floats([rows, 1, T, own.frequencies.length]);
  return { cosines: each, sines: each };
}

/** What a layer is given of where tokens are: how its queries and keys are turned, and what they see. */
export interface Frame<T = JaxArray> extends Visible<T> {
  turns: Turns<T>;
}

export function frameSpecs(config: DecoderConfig, layer: number, B: number, T: number): Frame<Tensor> {
  const turns = turnsSpecs(config, layer, B, T);
  return { turns, mask: floats([B, 1, T, T]), ...(isSliding(config, layer) && { positions: ints([B, T]) }) };
}

function isSliding({ sliding }: DecoderConfig, layer: number): boolean {
  return sliding?.layers.includes(layer) ?? false;
}

/** What the frames of all layers are made of. */
export interface Frames {
  /** Those of each of the model's `rotaries`. */
  turns: readonly Turns<Handle>[];
  mask: Handle;
  positions: Tensor;
}

/** A layer's frame. */
export function frameOf(
  config: DecoderConfig,
  layer: number,
  { turns, mask, positions }: Frames,
): Frame<Handle | Tensor> {
  const own = turns[turnsIndex(config, layer)] ?? {};
  return { turns: own, mask, ...(isSliding(config, layer) && { positions }) };
}

/** Forgets them. */
export function freeFrames(runtime: Runtime, { turns, mask }: Frames): void {
  for (const handle of [mask, ...turns.flatMap((own): Handle[] => Object.values(own))]) runtime.free(handle);
}

/** Runs the stage that tokens enter by. @returns the stream [B, T, D], and the frames of layers */
export async function enterStream(
  staging: Staging,
  weights: Record<string, Handle | FloatTensor>,
  { tokens, layout }: Pick<PackedBatch, "tokens" | "layout">,
): Promise<{ x: Handle; frames: Frames }> {
  const program = await enterProgram(staging, ...(tokens.shape as [number, number]));
  const { x, turns, mask } = await program.run(weights, tokens, layout);
  return { x, frames: { turns, mask, positions: layout.positions } };
}

/** The stream [B, T, D] that enters the first layer, from tokens [B, T] and where they are; how layers turn, and what is seen. */
function enterProgram({ config, programs }: Staging, B: number, T: number) {
  const specs = stageSpecs(config).all.enter;
  return kept(programs, ["enter", config, B, T], () =>
    compile(
      (weights: TracedWeights, tokens_BT: JaxArray, { positions, ...parts }: Layout) => {
        const { x, turns } = enterDecoder(weights, tokens_BT, positions, config);
        return { x, turns, mask: maskOf(parts) };
      },
      [specs, ints([B, T]), layoutSpecs(B, T)] as const,
      { runtime: programs.runtime },
    ),
  );
}

/** A layer over tokens [B, T]: what leaves it, what was asked for, and its keys and values. */
export function layerProgram(
  { config, programs }: Staging,
  layer: number,
  [B, T]: readonly [number, number],
  asked: Asked = {},
) {
  const { kind, trace } = layerKind(config, layer, asked);
  const specs = stageSpecs(config).all.layers[layer]!;
  return kept(programs, ["layer", kind, B, T], () =>
    compile(
      (weights: TracedWeights, x_BTD: JaxArray, { turns, ...sight }: Frame) => {
        const seen: Record<string, JaxArray> = {};
        const cache: KeysValues[] = [];
        const attendWithin = attentionWithin(sight);
        const attend: InLayer["attend"] = (queries, kv, scoring) => {
          if (asked.cache) cache.push({ keys: kv.keys.ref, values: kv.values.ref });
          return attendWithin(queries, kv, scoring);
        };
        const y_BTD = trace(weights, x_BTD, turns, attend, (site, value) => {
          seen[site] = value.ref;
        });
        return { y_BTD, seen, cache };
      },
      [specs, floats([B, T, config.width]), frameSpecs(config, layer, B, T)] as const,
      { runtime: programs.runtime },
    ),
  );
}

/** What was seen on the way through a layer. */
export interface SeenInLayer {
  /** Activations [B, T, D] that were asked for, by their sites. */
  seen: Placed;
  cache: { keys: Handle; values: Handle }[];
}

/** Runs tokens [B, T] through all layers. @returns the stream [B, T, D] that leaves the last one */
export async function throughLayers(
  staging: Staging,
  weights: ByStage<Handle | FloatTensor>,
  batch: Pick<PackedBatch, "tokens" | "layout">,
  asked: Asked,
  see: (layer: number, seen: SeenInLayer) => void,
): Promise<Handle> {
  const { runtime } = staging.programs;
  const [B, T] = batch.tokens.shape as [number, number];
  const entered = await enterStream(staging, weights.enter, batch);
  const { frames } = entered;
  let { x } = entered;
  for (const [layer, own] of weights.layers.entries()) {
    const program = await layerProgram(staging, layer, [B, T], asked);
    const { y_BTD, seen, cache } = await program.run(own, x, frameOf(staging.config, layer, frames));
    for (const { keys, values } of cache) keys.use = values.use = "caches";
    see(layer, { seen, cache });
    runtime.free(x);
    x = y_BTD;
  }
  freeFrames(runtime, frames);
  return x;
}

/**
 * Rows [N, D] of the stream [B, T, D] at some positions, counted through the batch. A program of its own: what leaves the stream,
 * whose logits take much memory, is then compiled for N only, and not for every shape of a batch.
 */
export function rowsProgram({ config, programs }: Staging, [B, T, N]: readonly [number, number, number]) {
  const { width: D } = config;
  return kept(programs, ["rows", D, B, T, N], () =>
    compile(
      (x_BTD: JaxArray, index_N: JaxArray) => x_BTD.reshape([-1, D]).slice(index_N),
      [floats([B, T, D]), ints([N])] as const,
      { runtime: programs.runtime },
    ),
  );
}

/** Log-probabilities and entropies [N] of the next tokens after rows [N, D] of the stream. */
export function leaveProgram({ config, programs }: Staging, N: number, temperature: number) {
  const specs = stageSpecs(config).all.leave;
  return kept(programs, ["leave", config, N, temperature], () =>
    compile(
      (weights: TracedWeights, rows_ND: JaxArray, targets_N: JaxArray) =>
        nextOf(config, weights, rows_ND, targets_N, temperature),
      [specs, floats([N, config.width]), ints([N])] as const,
      { runtime: programs.runtime },
    ),
  );
}

/** What is known of the next tokens after rows of the stream that leaves the last layer. */
export function nextOf(
  config: DecoderConfig,
  weights: TracedWeights,
  rows_ND: JaxArray,
  targets_N: JaxArray,
  temperature: number,
): NextTokens {
  return nextTokens(weights, leaveDecoder(weights, rows_ND, config), targets_N, temperature, config);
}

/** A program of its own kind, compiled when it is first asked for. */
export function kept<P extends Closable>(
  programs: ProgramStore,
  kind: readonly unknown[],
  create: () => Promise<P>,
): Promise<P> {
  return programs.cache<P>(JSON.stringify(kind), create).get();
}

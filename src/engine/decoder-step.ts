/** @file A decoder's step, put together from its stages: into the stream, blocks of layers, out of it. Each kind of layer is traced once. */

import {
  byStage,
  cacheAttention,
  type DecoderConfig,
  enterDecoder,
  entropyOf,
  type InLayer,
  leaveDecoder,
  logitsOf,
  type TracedWeights,
  type Turns,
  turnsIndex,
} from "../model/index.ts";
import {
  Composer,
  floats,
  type JaxArray,
  type TensorSpec,
  type Traced,
  type Tree,
  traceOf,
  type Wires,
} from "../tensor/index.ts";
import type { Decodes, decodeSpecs } from "./cached.ts";
import { layerKind, turnsSpecs } from "./stages.ts";

/** The program of one more token per row; see `compileDecode`. */
export async function decoderStep(
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

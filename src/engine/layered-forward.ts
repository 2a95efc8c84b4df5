/** @file Teacher forcing a decoder layer by layer: nothing is compiled twice for layers that are alike. */

import type { Ablation } from "../model/index.ts";
import type { Handle } from "../tensor/index.ts";
import type { PaddedBatch } from "./batches.ts";
import type { Passed } from "./forward.ts";
import { placesAtOnce } from "./memory.ts";
import { chunksOf, placesOf } from "./places.ts";
import { byStage, enterProgram, layerProgram, leaveProgram, type Staging } from "./stages.ts";
import type { Sequence } from "./types.ts";
import type { Given, Placed } from "./weights.ts";

/** What a pass is asked for. */
export interface LayeredOptions {
  hooks: readonly string[];
  temperature: number;
  ablate?: Ablation | undefined;
  memoryMB?: number | undefined;
}

/** Runs a batch; what was computed is in the order of its rows. */
export async function forwardByLayers(
  staging: Staging,
  weights: Given,
  batch: PaddedBatch,
  sequences: readonly Sequence[],
  { hooks, temperature, ablate, memoryMB }: LayeredOptions,
): Promise<Passed> {
  const { config, programs } = staging;
  const { runtime } = programs;
  const [B, T] = batch.tokens.shape as [number, number];
  const { enter, layers, leave } = byStage(config, weights);
  let { x, turns } = (await (
    await enterProgram(staging, B, T)
  ).run(enter as Placed, batch.tokens)) as Entered;
  const taps: Record<string, Handle> = {};
  for (const [layer, own] of layers.entries()) {
    const program = await layerProgram(staging, layer, [B, T], { hooks, ablate });
    const { y_BTD, seen } = await program.run(own as Placed, x, turns as Record<string, never>);
    for (const [site, value] of Object.entries(seen as Placed)) taps[`blocks.${layer}.${site}`] = value;
    runtime.free(x);
    x = y_BTD;
  }
  for (const handle of Object.values(turns)) runtime.free(handle);

  const places = placesOf(batch, sequences);
  const N = placesAtOnce(config, places.length, memoryMB);
  const program = await leaveProgram(staging, [B, T, N], temperature);
  const told: { logProbs: Handle; entropies: Handle }[] = [];
  const chunks = chunksOf(places, N);
  for (const { index_N, targets_N } of chunks)
    told.push(await program.run(leave as Placed, x, index_N, targets_N));
  runtime.free(x);
  const empty = () =>
    batch.indices.map((index) => {
      const { tokens, promptLength } = sequences[index]!;
      return new Float32Array(tokens.length - promptLength);
    });
  const [logprobs, entropies] = [empty(), empty()];
  const rowOf = new Map(batch.indices.map((index, row) => [index, row]));
  for (const [i, { places }] of chunks.entries()) {
    const [logProb, entropy] = [await runtime.get(told[i]!.logProbs), await runtime.get(told[i]!.entropies)];
    places.forEach(({ index, token }, n) => {
      const row = rowOf.get(index)!;
      logprobs[row]![token] = logProb.data[n]!;
      entropies[row]![token] = entropy.data[n]!;
    });
    for (const handle of Object.values(told[i]!)) runtime.free(handle);
  }
  return { taps, logprobs, entropies };
}

/** What enters the first layer. */
export interface Entered {
  x: Handle;
  turns: Placed;
}

/** @file Teacher forcing a decoder layer by layer: nothing is compiled twice for layers that are alike. */

import { type Ablation, byStage } from "../model/index.ts";
import { writtenPositions } from "../probe/index.ts";
import type { Handle } from "../tensor/index.ts";
import type { PackedBatch } from "./batches.ts";
import { placesAtOnce, type Room } from "./memory.ts";
import { chunksOf, placesOf } from "./places.ts";
import { leaveProgram, rowsProgram, type Staging, throughLayers } from "./stages.ts";
import type { Sequence } from "./types.ts";
import type { Given } from "./weights.ts";

/** What a pass is asked for. */
export interface LayeredOptions {
  hooks: readonly string[];
  temperature: number;
  ablate?: Ablation | undefined;
  room: Room;
  /** Nothing above the last hook. */
  readsOnly?: boolean;
}

/** What was computed over a batch. */
export interface Passed {
  /** Activations [B, T, D] by their hooks. */
  taps: Record<string, Handle>;
  /** Of each row's completion, token by token; no rows where reads alone were asked for. */
  logprobs: Float32Array[];
  entropies: Float32Array[];
}

/** Runs a batch; what was computed is in the order of its rows. */
export async function forwardByLayers(
  staging: Staging,
  weights: Given,
  batch: PackedBatch,
  sequences: readonly Sequence[],
  { hooks, temperature, ablate, room, readsOnly }: LayeredOptions,
): Promise<Passed> {
  const { config, programs } = staging;
  const { runtime } = programs;
  const [B, T] = batch.tokens.shape as [number, number];
  const all = byStage(config, weights);
  const stages = readsOnly ? { ...all, layers: all.layers.slice(0, 1 + lastOf(hooks)) } : all;
  const taps: Record<string, Handle> = {};
  const x = await throughLayers(staging, stages, batch, { hooks, ablate }, (layer, { seen }) => {
    for (const [site, value] of Object.entries(seen)) taps[`blocks.${layer}.${site}`] = value;
  });
  if (readsOnly) {
    runtime.free(x);
    return { taps, logprobs: [], entropies: [] };
  }
  const places = placesOf(batch, sequences);
  const N = placesAtOnce(config, places.length, room);
  const [rows, leave] = [await rowsProgram(staging, [B, T, N]), await leaveProgram(staging, N, temperature)];
  const told: { logProbs: Handle; entropies: Handle }[] = [];
  const chunks = chunksOf(places, N);
  for (const { index_N, targets_N } of chunks) {
    const rows_ND = await rows.run(x, index_N);
    told.push(await leave.run(stages.leave, rows_ND, targets_N));
    runtime.free(rows_ND);
  }
  runtime.free(x);
  const empty = () =>
    batch.indices.map((index) => new Float32Array(writtenPositions(sequences[index]!).length));
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

/** The last layer that has one of the hooks; -1 without any. */
function lastOf(hooks: readonly string[]): number {
  return Math.max(-1, ...hooks.map((hook) => Number(hook.split(".")[1])));
}

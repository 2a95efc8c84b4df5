/**
 * @file Gradients of a decoder layer by layer: forwards, out of the stream, and backwards. What a layer computed is kept, or
 * computed again where memory is short (gradient checkpointing: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
 */

import { type ByStage, byStage, splitWeights, wholeNames } from "../model/index.ts";
import { type Handle, ints } from "../tensor/index.ts";
import type { PackedBatch } from "./batches.ts";
import {
  enterGradient,
  isIn,
  layerAgain,
  layerInTwo,
  leaveGradient,
  spreadPull,
  type TokenLoss,
} from "./gradient-stages.ts";
import { fitting, placesAtOnce, type Room } from "./memory.ts";
import { chunksOf, placesOf } from "./places.ts";
import type { ProgramStore } from "./programs.ts";
import {
  type Asked,
  enterStream,
  frameOf,
  freeFrames,
  layerProgram,
  rowsProgram,
  type Staging,
} from "./stages.ts";
import type { Sequence } from "./types.ts";
import { type Given, type Placed, sumOf, usedAs } from "./weights.ts";

/** The gradient of a batch by the names of the trained weights, and the loss, the clipped share and the probe's term in parts [3]. */
export interface BatchGradient {
  gradient: Placed;
  told: Handle[];
}

/** The gradient of a loss over a batch. */
export async function gradientByLayers(
  staging: Staging,
  weights: Given,
  batch: PackedBatch,
  sequences: readonly Sequence[],
  loss: TokenLoss,
  room: Room,
): Promise<BatchGradient> {
  const { config, programs } = staging;
  const { runtime } = programs;
  const [B, T] = batch.tokens.shape as [number, number];
  const { trained, frozen } = splitWeights(config, weights);
  const stages = { trained: byStage(config, trained), frozen: byStage(config, frozen) };
  const all = byStage(config, weights);
  const { keeps } = fitting(config, T, room);
  const { probe, ablate } = loss;
  const asked: Asked = { hooks: probe ? [probe.hook] : [], ablate };
  const layers = [...all.layers.keys()];
  const lowest = lowestOf(stages.trained, probe);
  const of = (layer: number) => [staging, layer, [B, T], asked, probe] as const;

  const { x, frames } = await enterStream(staging, all.enter, batch);
  const given = (layer: number) => frameOf(config, layer, frames);
  const streams = [x];
  const keptOf: Handle[][] = [];
  for (const layer of layers) {
    const own = [stages.trained.layers[layer]!, stages.frozen.layers[layer]!] as const;
    const stream = streams.at(-1)!;
    if (keeps && layer >= lowest) {
      const { first } = await layerInTwo(...of(layer));
      const [y_BTD, keptHere] = await first.run(...own, stream, given(layer));
      streams.push(y_BTD);
      keptOf.push(keptHere);
    } else {
      const program = await layerProgram(staging, layer, [B, T], { ablate });
      streams.push((await program.run(all.layers[layer]!, stream, given(layer))).y_BTD);
      if (layer < lowest) runtime.free(streams.shift()!);
    }
  }

  const told: Handle[] = [];
  let gradient: Placed = {};
  const gather = async (more: Placed) => {
    gradient = await joined(programs, gradient, usedAs("gradients", more));
  };
  const places = placesOf(batch, sequences);
  const N = placesAtOnce(config, places.length, room);
  const chunks = chunksOf(places, N);
  const pulls: Handle[] = [];
  for (const chunk of chunks) {
    const arrays = loss.arrays(chunk);
    const rows_ND = await (await rowsProgram(staging, [B, T, N])).run(streams.at(-1)!, chunk.index_N);
    const { leave } = stages.trained;
    const program = await leaveGradient(staging, N, loss, Object.keys(arrays));
    const out = await program.run(leave, stages.frozen.leave, rows_ND, chunk.targets_N, arrays);
    runtime.free(rows_ND);
    told.push(out.told);
    pulls.push(out.pull);
    await gather(out.gradient as Placed);
  }
  runtime.free(streams.pop()!);

  const from_BT = ints([B, T]);
  from_BT.data.fill(chunks.length * N);
  places.forEach(({ at }, n) => {
    from_BT.data[at] = n;
  });
  let pull_BTD = await (await spreadPull(staging, [B, T, N], chunks.length)).run(pulls, from_BT);
  for (const handle of pulls) runtime.free(handle);
  for (const layer of layers.slice(lowest).toReversed()) {
    const own = [stages.trained.layers[layer]!, stages.frozen.layers[layer]!] as const;
    const stream = streams.pop()!;
    const probed = probe && isIn(layer, probe.hook) ? probe.batch : {};
    const args = [...own, stream, given(layer), pull_BTD, probed] as const;
    const out = keeps
      ? await (await layerInTwo(...of(layer))).second.run(...args, keptOf.pop()!)
      : await (await layerAgain(...of(layer))).run(...args);
    runtime.free(stream);
    runtime.free(pull_BTD);
    pull_BTD = out.pull;
    told.push(...out.told);
    await gather(wholeNames(out.gradient as Placed, layer));
  }
  if (Object.keys(stages.trained.enter).length > 0) {
    const program = await enterGradient(staging, B, T);
    await gather(
      (await program.run(stages.trained.enter, batch.tokens, batch.layout.positions, pull_BTD)) as Placed,
    );
  }
  runtime.free(pull_BTD);
  freeFrames(runtime, frames);
  return { gradient, told };
}

/** Below this layer nothing is trained and no probe is in the loss: the backward pass ends there. */
function lowestOf(trained: ByStage<unknown>, probe: TokenLoss["probe"]): number {
  if (Object.keys(trained.enter).length > 0) return 0;
  const needed = trained.layers.findIndex(
    (own, layer) => Object.keys(own).length > 0 || (probe !== undefined && isIn(layer, probe.hook)),
  );
  return needed < 0 ? trained.layers.length : needed;
}

/** Gradients by name; what has two parts, as a tied embedding has, is their sum. */
async function joined(programs: ProgramStore, some: Placed, more: Placed): Promise<Placed> {
  const both = Object.keys(more).filter((name) => name in some);
  if (both.length === 0) return { ...some, ...more };
  const ofBoth = (from: Placed) => Object.fromEntries(both.map((name) => [name, from[name]!]));
  return { ...some, ...more, ...(await sumOf(programs, ofBoth(some), ofBoth(more))) };
}

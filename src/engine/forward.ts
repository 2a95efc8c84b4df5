/** @file Teacher forcing: what a model computes over given sequences. */

import { distinct } from "../distinct.ts";
import {
  ablating,
  checkHooks,
  hiddenStates,
  isEmbedded,
  type Layout,
  laidOut,
  type ModelConfig,
  nextTokens,
  type TracedWeights,
  weightSpecs,
} from "../model/index.ts";
import { writtenPositions } from "../probe/index.ts";
import { compile, type Handle, ints, type JaxArray } from "../tensor/index.ts";
import { batchesOf, layoutSpecs, type PackedBatch } from "./batches.ts";
import { forwardByLayers, type LayeredOptions, type Passed } from "./layered-forward.ts";
import { roomOn } from "./memory.ts";
import type { ProgramStore } from "./programs.ts";
import { hookOf, readBatch } from "./read.ts";
import type { ForwardOptions, ForwardOutput, Sequence } from "./types.ts";
import type { Given } from "./weights.ts";

/** How a pass runs the model. */
export interface PassOptions extends ForwardOptions {
  /** Megabytes that the activations of one batch may take. */
  memoryMB?: number | undefined;
}

/**
 * Teacher-forces sequences through a model; see `Model.forward`.
 *
 * @returns what was computed, in the order of the sequences; equal sequences are computed once and share theirs
 * @throws Error where a hook does not exist in this model
 */
export async function forward(
  config: ModelConfig,
  programs: ProgramStore,
  weights: Given,
  all: readonly Sequence[],
  { reads = [], temperature = 1, followUp = [], memoryMB, ablate, readsOnly = false }: PassOptions = {},
): Promise<ForwardOutput[]> {
  const { runtime } = programs;
  // In one order, so that a program serves all that reads there.
  const hooks = [...new Set(reads.map(hookOf))].sort();
  checkHooks(config, hooks);
  const { firsts: sequences, of } = distinct(
    all,
    ({ promptLength, tokens, observations }) => `${promptLength}:${tokens}:${observations ?? ""}`,
  );
  const room = roomOn(runtime.info, { memoryMB });
  const options = { hooks, temperature, ablate, room, readsOnly };
  const pass = isEmbedded(config)
    ? wholePass(config, programs, weights, options)
    : (batch: PackedBatch) => forwardByLayers({ config, programs }, weights, batch, sequences, options);

  const results: ForwardOutput[] = new Array(sequences.length);
  for (const batch of batchesOf(config, sequences, { followUp, ...room })) {
    const { taps, logprobs, entropies } = await pass(batch, sequences);
    const read: Float32Array[][] = [];
    for (const one of reads)
      read.push(await readBatch(programs, one, taps[hookOf(one)]!, batch, sequences, followUp.length));
    batch.indices.forEach((index, s) => {
      results[index] = {
        logprobs: logprobs[s] ?? new Float32Array(),
        entropies: entropies[s] ?? new Float32Array(),
        reads: read.map((ofAll) => ofAll[s]!),
      };
    });
    for (const handle of Object.values(taps)) runtime.free(handle);
  }
  return of.map((index) => results[index]!);
}

/** All layers in one program: for models that compile in a moment. */
function wholePass(
  config: ModelConfig,
  programs: ProgramStore,
  weights: Given,
  { hooks, temperature, ablate, readsOnly }: LayeredOptions,
): (batch: PackedBatch, sequences: readonly Sequence[]) => Promise<Passed> {
  const { runtime } = programs;
  const edit = ablate && ablating(config, ablate);
  const pass = (traced: TracedWeights, tokens_BT: JaxArray, targets_BT: JaxArray, layout: Layout) => {
    const taps: Record<string, JaxArray> = {};
    const { positions, attend } = laidOut(layout);
    const states_BTD = hiddenStates(
      traced,
      tokens_BT,
      positions,
      config,
      attend,
      (hook, value) => {
        if (hooks.includes(hook)) taps[hook] = value.ref;
      },
      edit,
    );
    if (!readsOnly) return { ...nextTokens(traced, states_BTD, targets_BT, temperature, config), taps };
    // What no tap depends on is not in the program.
    states_BTD.dispose();
    return { taps };
  };
  const create = (rows: number, T: number) => {
    const each = ints([rows, T]);
    return compile(pass, [weightSpecs(config), each, each, layoutSpecs(rows, T)] as const, { runtime });
  };
  const kind = JSON.stringify(["forward", config, hooks, readsOnly || temperature, ablate]);
  const cache = programs.cache<Awaited<ReturnType<typeof create>>>(kind, create);
  return async (batch, sequences) => {
    const { tokens, targets, layout } = batch;
    const program = await cache.get(...tokens.shape);
    const { taps, ...next } = await program.run(weights, tokens, targets, layout);
    if (!("logProbs" in next)) return { taps, logprobs: [], entropies: [] };
    const ofCompletions = async (handle: Handle) => {
      const { data } = await runtime.get(handle);
      const ofEach = batch.indices.map((index) => {
        const written = writtenPositions(sequences[index]!);
        // The token at position t is predicted at position t - 1.
        return Float32Array.from(written, (t) => data[batch.at(index, t - 1)]!);
      });
      runtime.free(handle);
      return ofEach;
    };
    return {
      taps,
      logprobs: await ofCompletions(next.logProbs),
      entropies: await ofCompletions(next.entropies),
    };
  };
}

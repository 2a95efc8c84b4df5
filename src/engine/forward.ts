/** @file Teacher forcing: what a model computes over given sequences. */

import { numpy as np } from "@jax-js/jax";
import { distinct } from "../distinct.ts";
import {
  ablating,
  checkHooks,
  hiddenStates,
  type ModelConfig,
  nextTokens,
  type TracedWeights,
  weightSpecs,
} from "../model/index.ts";
import { compile, ints, type JaxArray, type Tensor } from "../tensor/index.ts";
import { batchesOf } from "./batches.ts";
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
  { reads = [], temperature = 1, followUp = [], memoryMB, ablate }: PassOptions = {},
): Promise<ForwardOutput[]> {
  const { runtime } = programs;
  // In one order, so that a program serves all that reads there.
  const hooks = [...new Set(reads.map(hookOf))].sort();
  checkHooks(config, hooks);
  const edit = ablate && ablating(config, ablate);
  const pass = (traced: TracedWeights, tokens_BT: JaxArray, targets_BT: JaxArray) => {
    const T = tokens_BT.shape[1]!;
    const taps: Record<string, JaxArray> = {};
    const states_BTD = hiddenStates(
      traced,
      tokens_BT,
      np.arange(T).astype(np.int32),
      config,
      undefined,
      (hook, value) => {
        if (hooks.includes(hook)) taps[hook] = value.ref;
      },
      edit,
    );
    return { ...nextTokens(traced, states_BTD, targets_BT, temperature, config), taps };
  };
  const create = (rows: number, T: number) => {
    const batch = ints([rows, T]);
    return compile(pass, [weightSpecs(config), batch, batch] as const, { runtime });
  };
  const kind = JSON.stringify(["forward", config, hooks, temperature, ablate]);
  const cache = programs.cache<Awaited<ReturnType<typeof create>>>(kind, create);

  const { firsts: sequences, of } = distinct(all, ({ promptLength, tokens }) => `${promptLength}:${tokens}`);
  const results: ForwardOutput[] = new Array(sequences.length);
  for (const { indices, tokens, targets } of batchesOf(config, sequences, { followUp, memoryMB })) {
    const [rows, T] = tokens.shape as [number, number];
    const program = await cache.get(rows, T);
    const { logProbs, entropies, taps } = await program.run(weights, tokens, targets);
    const own = indices.map((index) => sequences[index]!);
    const read: Float32Array[][] = [];
    for (const one of reads)
      read.push(await readBatch(programs, one, taps[hookOf(one)]!, own, followUp.length));
    const [logprobs, entropy] = [await runtime.get(logProbs), await runtime.get(entropies)];
    own.forEach(({ promptLength, tokens }, row) => {
      // The token at position t is predicted at position t - 1.
      const completion = ({ data }: Tensor) =>
        (data as Float32Array).slice(row * T + promptLength - 1, row * T + tokens.length - 1);
      results[indices[row]!] = {
        logprobs: completion(logprobs),
        entropies: completion(entropy),
        reads: read.map((ofRows) => ofRows[row]!),
      };
    });
    for (const handle of [logProbs, entropies, ...Object.values(taps)]) runtime.free(handle);
  }
  return of.map((index) => results[index]!);
}

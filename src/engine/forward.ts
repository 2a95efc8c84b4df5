/** @file Teacher forcing: what a model computes over given sequences. */

import { numpy as np } from "@jax-js/jax";
import { distinct } from "../distinct.ts";
import {
  type Ablation,
  ablating,
  checkHooks,
  hiddenStates,
  type ModelConfig,
  nextTokens,
  type TracedWeights,
  type Weights,
  weightSpecs,
} from "../model/index.ts";
import { compile, ints, type JaxArray, type Tensor } from "../tensor/index.ts";
import { batchesOf } from "./batches.ts";
import type { ProgramStore } from "./programs.ts";
import type { Sequence } from "./types.ts";

/** What a pass captures, and how it runs the model. */
export interface PassOptions {
  /** TransformerLens names of the activations to capture; only these leave the program. */
  hooks?: readonly string[];
  /** Divides the logits, as in sampling. Default 1. */
  temperature?: number;
  /** Tokens that the model reads behind every sequence, so that its activations there are captured too. Default none. */
  followUp?: readonly number[];
  /** Megabytes that the activations of one batch may take. */
  memoryMB?: number | undefined;
  /** Activations are captured before they are ablated. */
  ablate?: Ablation | undefined;
}

/** What a pass computed over one sequence. */
export interface Passed {
  logprobs: Float32Array;
  entropies: Float32Array;
  /**
   * By hook: the activations at every token of the sequence, then of the follow-up, row-major [length, D]. They lie in the
   * program's memory and are valid only while they are received.
   */
  activations: Record<string, Float32Array>;
}

/**
 * Teacher-forces sequences through a model.
 *
 * @param receive makes of each sequence what is kept of it
 * @returns what was made, in the order of the sequences; equal sequences are computed once and share theirs
 * @throws Error where a hook does not exist in this model
 */
export async function forward<T>(
  config: ModelConfig,
  programs: ProgramStore,
  weights: Weights,
  all: readonly Sequence[],
  { hooks = [], temperature = 1, followUp = [], memoryMB, ablate }: PassOptions,
  receive: (sequence: Sequence, passed: Passed) => T,
): Promise<T[]> {
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
    return compile(pass, [weightSpecs(config), batch, batch] as const);
  };
  const kind = JSON.stringify(["forward", config, hooks, temperature, ablate]);
  const cache = programs.cache<Awaited<ReturnType<typeof create>>>(kind, create);

  const { firsts: sequences, of } = distinct(all, ({ promptLength, tokens }) => `${promptLength}:${tokens}`);
  const results: T[] = new Array(sequences.length);
  for (const { indices, tokens, targets } of batchesOf(config, sequences, { followUp, memoryMB })) {
    const [rows, T] = tokens.shape as [number, number];
    const program = await cache.get(rows, T);
    const { logProbs, entropies, taps } = await program.run(weights, tokens, targets);
    indices.forEach((index, row) => {
      const sequence = sequences[index]!;
      const { promptLength, tokens } = sequence;
      const readLength = tokens.length + followUp.length;
      // The token at position t is predicted at position t - 1.
      const completion = (tensor: Tensor) =>
        (tensor.data as Float32Array).slice(row * T + promptLength - 1, row * T + tokens.length - 1);
      const activations = Object.entries(taps).map(([hook, { shape, data }]) => {
        const D = shape[2]!;
        return [hook, (data as Float32Array).subarray(row * T * D, (row * T + readLength) * D)];
      });
      results[index] = receive(sequence, {
        logprobs: completion(logProbs),
        entropies: completion(entropies),
        activations: Object.fromEntries(activations),
      });
    });
  }
  return of.map((index) => results[index]!);
}

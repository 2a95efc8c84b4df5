/** @file Teacher forcing: what a model computes over given sequences. */

import { numpy as np } from "@jax-js/jax";
import { distinct } from "../distinct.ts";
import { compile, ints, type JaxArray, type Tensor, type TensorSpec } from "../tensor/index.ts";
import { type Ablation, ablating } from "./ablation.ts";
import { hookNames, type ModelConfig } from "./config.ts";
import { nextTokens } from "./likelihood.ts";
import { ProgramStore } from "./programs.ts";
import { batchesOf, type Sequence } from "./sequences.ts";
import { hiddenStates, type TracedWeights, type Weights, weightShapes } from "./transformer.ts";

/** What a model computed over one sequence. */
export interface Scored {
  /** Log-probability of each token of the completion given what came before. */
  logProbabilities: Float32Array;
  /** Entropy in nats of each of those distributions. */
  entropies: Float32Array;
  /** By hook: the activations at every token of the sequence, then of the follow-up, row-major [length, D]. */
  activations: Record<string, Float32Array>;
}

/** What a scorer captures, and how it runs the model. */
export interface ScorerOptions {
  /** TransformerLens names of the activations to capture; only these leave the program. */
  hooks?: readonly string[];
  /** Divides the logits, as in sampling. Default 1. */
  temperature?: number;
  /** Tokens that the model reads behind every sequence, so that its activations there are captured too. Default none. */
  followUp?: readonly number[];
  /** Megabytes that the activations of one batch may take. */
  memoryMB?: number | undefined;
  /** Taps see activations before they are ablated. */
  ablate?: Ablation | undefined;
  /** Compiled programs to share; its own unless given. */
  programs?: ProgramStore | undefined;
}

/** Teacher-forces sequences through a model of one configuration; weights are given with each call. */
export interface Scorer {
  /** Scores sequences; results are in the order of the sequences. */
  score(weights: Weights, sequences: readonly Sequence[]): Promise<Scored[]>;
  /** Frees its programs. */
  close(): Promise<void>;
}

/** Specifications of a model's weights. */
export function weightSpecs(config: ModelConfig): Record<string, TensorSpec> {
  return Object.fromEntries(
    Object.entries(weightShapes(config)).map(([name, shape]) => [name, { shape, dtype: "float32" }]),
  );
}

/** A scorer. Close it when done. @throws Error where a hook does not exist in this model. */
export function createScorer(config: ModelConfig, options: ScorerOptions = {}): Scorer {
  const { hooks = [], temperature = 1, followUp = [], memoryMB, ablate, programs: shared } = options;
  checkHooks(config, hooks);
  const store = shared ?? new ProgramStore();
  const edit = ablate && ablating(config, ablate);

  const pass = (weights: TracedWeights, tokens_BT: JaxArray, targets_BT: JaxArray) => {
    const T = tokens_BT.shape[1]!;
    const taps: Record<string, JaxArray> = {};
    const states_BTD = hiddenStates(
      weights,
      tokens_BT,
      np.arange(T).astype(np.int32),
      config,
      undefined,
      (hook, value) => {
        if (hooks.includes(hook)) taps[hook] = value.ref;
      },
      edit,
    );
    return { ...nextTokens(weights, states_BTD, targets_BT, temperature, config), taps };
  };
  const create = (rows: number, T: number) => {
    const batch = ints([rows, T]);
    return compile(pass, [weightSpecs(config), batch, batch] as const);
  };
  const kind = JSON.stringify(["score", config, hooks, temperature, ablate]);
  const programs = store.cache<Awaited<ReturnType<typeof create>>>(kind, create);

  return {
    async score(weights, all) {
      const { firsts: sequences, of } = distinct(
        all,
        ({ promptLength, tokens }) => `${promptLength}:${tokens}`,
      );
      const results: Scored[] = new Array(sequences.length);
      for (const { indices, tokens, targets } of batchesOf(config, sequences, { followUp, memoryMB })) {
        const [rows, T] = tokens.shape as [number, number];
        const program = await programs.get(rows, T);
        const { logProbs, entropies, taps } = await program.run(weights, tokens, targets);
        indices.forEach((index, row) => {
          const { promptLength, tokens } = sequences[index]!;
          const readLength = tokens.length + followUp.length;
          // The token at position t is predicted at position t - 1.
          const completion = (tensor: Tensor) =>
            (tensor.data as Float32Array).slice(row * T + promptLength - 1, row * T + tokens.length - 1);
          const activations = Object.entries(taps).map(([hook, tensor]) => {
            const D = tensor.shape[2]!;
            return [hook, (tensor.data as Float32Array).slice(row * T * D, (row * T + readLength) * D)];
          });
          results[index] = {
            logProbabilities: completion(logProbs),
            entropies: completion(entropies),
            activations: Object.fromEntries(activations),
          };
        });
      }
      return of.map((index) => results[index]!);
    },
    close: async () => (shared ? undefined : store.close()),
  };
}

/** @throws Error naming a hook that the model lacks, and what it has. */
export function checkHooks(config: ModelConfig, hooks: readonly string[]): void {
  const known = hookNames(config);
  for (const hook of hooks)
    if (!known.includes(hook)) {
      // The names of one layer, for all.
      const names = hookNames({ layers: 1 }).map((name) => name.replace("blocks.0.", ""));
      throw new Error(
        `model: there is no activation ${JSON.stringify(hook)}; this model has layers 0 to ${config.layers - 1}, and in each, as in blocks.0.${names[0]}: ${names.join(", ")}`,
      );
    }
}

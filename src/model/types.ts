/** @file The vocabulary of models: weights, what a pass shows of its activations, and a model that is loaded. */

import type { FloatTensor, JaxArray } from "../tensor/index.ts";
import type { ModelConfig } from "./config.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Weights by name: TransformerLens's names in the embedded model, Llama's in checkpoints. */
export type Weights = Record<string, FloatTensor>;
/** The same while a program is traced. */
export type TracedWeights = Record<string, JaxArray>;

/** Receives every activation by its TransformerLens name as it is computed; does not own it. */
export type Observe = (hook: string, activation_BTD: JaxArray) => void;

/** Takes an activation of the residual stream, which it owns, and returns what goes on in its place. */
export type Edit = (hook: string, activation_BTD: JaxArray) => JaxArray;

/** A model, ready for use. */
export interface LoadedModel {
  /** What it is called where it is referred to, as in an adapter's files: a path or a repository's name. */
  name?: string | undefined;
  config: ModelConfig;
  weights: Weights;
  tokenizer: Tokenizer;
}

/** @file What others may use of models. */

export { type Ablation, ablating } from "./ablation.ts";
export { loadModel, loadWeights, type Model, saveModel } from "./checkpoint.ts";
export { hookNames, type ModelConfig, modelConfigSchema, vocabularySize } from "./config.ts";
export { type Completion, createGenerator, type GenerateOptions, type Generator } from "./generate.ts";
export { entropies, logProbabilities, tokenLogProbabilities } from "./likelihood.ts";
export { ProgramCache, ProgramStore, roundUp } from "./programs.ts";
export {
  checkHooks,
  createScorer,
  type Scored,
  type Scorer,
  type ScorerOptions,
  weightSpecs,
} from "./score.ts";
export { type Batch, batchesOf, type Sequence } from "./sequences.ts";
export { CharacterTokenizer, END_OF_TEXT } from "./tokenizer.ts";
export {
  type Edit,
  initialWeights,
  type TracedWeights,
  transformer,
  type Weights,
  weightShapes,
  weightsBefore,
} from "./transformer.ts";

/** @file What others may use of models. */

export { type Ablation, ablating } from "./ablation.ts";
export {
  initialAdapter,
  loadAdapter,
  saveAdapter,
  splitWeights,
  trainableShapes,
  withAdapter,
} from "./adapter.ts";
export { initialWeights } from "./character.ts";
export { loadModel, loadWeights, type Model, saveModel, weightsSha256 } from "./checkpoint.ts";
export {
  type AdapterConfig,
  type CharacterConfig,
  characterConfigSchema,
  type DecoderConfig,
  endTokens,
  hookNames,
  isEmbedded,
  type ModelConfig,
  type Rotary,
  vocabularySize,
} from "./config.ts";
export {
  type Completion,
  createGenerator,
  type GenerateOptions,
  type Generator,
  type GeneratorOptions,
} from "./generate.ts";
export { type PullOptions, pullModel } from "./hub.ts";
export { type NextTokens, nextTokens } from "./likelihood.ts";
export { loadLlama2c } from "./llama2c.ts";
export { DEFAULT_MEMORY_MB } from "./memory.ts";
export { ProgramCache, ProgramStore, powerOfTwo, roundUp } from "./programs.ts";
export {
  checkHooks,
  createScorer,
  type Scored,
  type Scorer,
  type ScorerOptions,
  weightSpecs,
} from "./score.ts";
export { type Batch, type BatchOptions, batchesOf, type Sequence } from "./sequences.ts";
export {
  CharacterTokenizer,
  type ChatMessage,
  END_OF_TEXT,
  type Tokenizer,
  wholeCompletion,
} from "./tokenizer.ts";
export {
  type Edit,
  hiddenStates,
  logitsOf,
  type TracedWeights,
  type Weights,
  weightShapes,
  weightsBefore,
} from "./transformer.ts";

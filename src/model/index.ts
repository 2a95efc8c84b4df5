/** @file What others may use of models. */

export { type Ablation, ablatedHooks, ablating } from "./ablation.ts";
export { aboutModel, shapeNames, shapesOnly } from "./about.ts";
export {
  adapterOff,
  initialAdapter,
  splitWeights,
  trainableShapes,
  withAdapter,
} from "./adapter.ts";
export { loadAdapter, saveAdapter } from "./adapter-file.ts";
export { takingAdapters } from "./as-decoder.ts";
export {
  type Attend,
  attentionWithin,
  cacheAttention,
  causalAttention,
  type KeysValues,
  type Layout,
  laidOut,
  maskOf,
  type Visible,
} from "./attention.ts";
export { initialWeights } from "./character.ts";
export { halveModel, loadModel, loadWeights, saveModel, weightsSha256 } from "./checkpoint.ts";
export {
  type AdapterChoice,
  type AdapterConfig,
  type AdapterSize,
  type Architecture,
  type CharacterConfig,
  cacheHeads,
  characterConfigSchema,
  checkHooks,
  type DecoderConfig,
  endTokens,
  hookNames,
  isEmbedded,
  type ModelConfig,
  type Norms,
  type Rotary,
  vocabularySize,
} from "./config.ts";
export {
  decoderLayer,
  enterDecoder,
  type InLayer,
  leaveDecoder,
} from "./decoder.ts";
export { fingerprintOf, type TokenizerFingerprint } from "./fingerprint.ts";
export type { Keeping } from "./fit.ts";
export { type PullOptions, pullModel } from "./hub.ts";
export { entropyOf, type NextTokens, nextTokens } from "./likelihood.ts";
export { loadLlama2c } from "./llama2c.ts";
export { changedByRank } from "./low-rank.ts";
export { loadChanged } from "./merge.ts";
export { changeSizes, type Precision, precisionOf, randomlyChanged, roundedTo, sizesOf } from "./no-op.ts";
export { rotaries, type Turns, turnsIndex } from "./rotary.ts";
export { traitsOf } from "./shapes.ts";
export { type ByStage, byStage, wholeNames } from "./stages.ts";
export {
  CharacterTokenizer,
  type ChatMessage,
  type ChatOptions,
  END_OF_TEXT,
  type Tokenizer,
  type ToolCall,
  wholeCompletion,
} from "./tokenizer.ts";
export {
  hiddenStates,
  logitsOf,
  weightCount,
  weightShapes,
  weightSpecs,
  weightsBefore,
} from "./transformer.ts";
export type { Edit, LoadedModel, Observe, TracedWeights, Weights } from "./types.ts";

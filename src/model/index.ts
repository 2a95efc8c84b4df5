/** @file What others may use of models. */

export { type Ablation, ablatedHooks, ablating } from "./ablation.ts";
export {
  adapterOff,
  initialAdapter,
  loadAdapter,
  saveAdapter,
  splitWeights,
  trainableShapes,
  withAdapter,
} from "./adapter.ts";
export {
  type Attend,
  cacheAttention,
  causalAttention,
  type KeysValues,
  type Layout,
  laidOut,
  maskedAttention,
  maskOf,
} from "./attention.ts";
export { initialWeights } from "./character.ts";
export { loadModel, loadWeights, saveModel, weightsSha256 } from "./checkpoint.ts";
export {
  type AdapterConfig,
  type CharacterConfig,
  cacheHeads,
  characterConfigSchema,
  checkHooks,
  type DecoderConfig,
  endTokens,
  hookNames,
  isEmbedded,
  type ModelConfig,
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
export { type PullOptions, pullModel } from "./hub.ts";
export { type NextTokens, nextTokens } from "./likelihood.ts";
export { loadLlama2c } from "./llama2c.ts";
export { loadChanged } from "./merge.ts";
export { changeSizes, type Precision, precisionOf, randomlyChanged, roundedTo, sizesOf } from "./no-op.ts";
export type { Turns } from "./rotary.ts";
export { type ByStage, byStage, wholeNames } from "./stages.ts";
export {
  CharacterTokenizer,
  type ChatMessage,
  END_OF_TEXT,
  type Tokenizer,
  wholeCompletion,
} from "./tokenizer.ts";
export {
  hiddenStates,
  logitsOf,
  weightShapes,
  weightSpecs,
  weightsBefore,
} from "./transformer.ts";
export type { Edit, LoadedModel, Observe, TracedWeights, Weights } from "./types.ts";

/** @file What others may use of the engine. */

export { createEngine, openEngine } from "./engine.ts";
export { DEFAULT_MEMORY_MB, keptBytes } from "./memory.ts";
export { STATE_FILES } from "./state.ts";
export type {
  Datum,
  DecodedToken,
  Decoder,
  DecodingRequest,
  Engine,
  EngineOptions,
  FollowedToken,
  Follower,
  ForwardOptions,
  ForwardOutput,
  GradientProducts,
  GradientProductsRequest,
  GradientSet,
  Loss,
  LossMetrics,
  Model,
  ModelInfo,
  OptimParams,
  Policy,
  PolicyOptions,
  Read,
  SampledSequence,
  SamplingParams,
  Sequence,
} from "./types.ts";

/** @file The library: what programs that build on probeward may import. */

export { type Clause, contract } from "./environment/contract.ts";
export {
  type Conduct,
  createEnvironment,
  type Environment,
  type Outcome,
  type Split,
  type Task,
} from "./environment/index.ts";
export { loadEnvironment } from "./environment/load.ts";
export {
  CharacterTokenizer,
  createGenerator,
  createScorer,
  loadModel,
  type Model,
  type ModelConfig,
  type Sequence,
  saveModel,
} from "./model/index.ts";
export {
  calibrate,
  fitProbe,
  loadProbe,
  type Probe,
  type ProbeHealth,
  probeHealth,
  saveProbe,
  sweepProbes,
  type Tap,
} from "./probe/index.ts";
export { type Random, randomFor } from "./random.ts";
export { loadStudy, renderReport, renderTable, type Summary, summarySchema } from "./report/index.ts";
export { type Recipe, readStudy, runStudy, type StudyEvent, type StudySettings } from "./study/index.ts";
export {
  compile,
  createAdamW,
  type FloatTensor,
  floats,
  ints,
  type Program,
  type Tensor,
} from "./tensor/index.ts";
export {
  type Arm,
  oraclePenalty,
  probePenalty,
  proxyReward,
  type RewardTerm,
  type Rollout,
  type RunContext,
  train,
} from "./training/index.ts";

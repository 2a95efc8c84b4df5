/** @file The library: what programs that build on probeward may import. */

import { provideLibrary } from "./modules.ts";

// Engines: where a model's weights live. Tokens and numbers go in, and come out.
export {
  createEngine,
  type Datum,
  type DecodedToken,
  type Decoder,
  type DecodingRequest,
  type Engine,
  type EngineOptions,
  type FollowedToken,
  type Follower,
  type ForwardOptions,
  type ForwardOutput,
  type GradientProducts,
  type GradientProductsRequest,
  type GradientSet,
  type Loss,
  type LossMetrics,
  type Model,
  type ModelInfo,
  type OptimParams,
  openEngine,
  type Policy,
  type PolicyOptions,
  type Read,
  type SampledSequence,
  type SamplingParams,
  type Sequence,
} from "./engine/index.ts";
// Environments: tasks, and what completions of them are worth; where programs of models are run.
export { type Clause, contract } from "./environment/contract.ts";
export type {
  Awaitable,
  Conduct,
  Environment,
  Episode,
  Episodes,
  Lesson,
  Outcome,
  Split,
  Task,
  Teachable,
  Thoughts,
} from "./environment/index.ts";
export {
  type EnvironmentChoice,
  loadEnvironment,
  type OwnEnvironment,
  type OwnEpisode,
  type OwnOutcome,
} from "./environment/load.ts";
export {
  type EnvironmentServer,
  type EpisodeRecord,
  type Fields,
  type Grade,
  type Grader,
  type Observed,
  OpenEnvRefusal,
  type OpenEnvSettings,
  openSession,
  type ServingOptions,
  type Session,
  serveEnvironment,
} from "./environment/openenv/index.ts";
export {
  type Answer,
  createSandbox,
  type Failure,
  type Limits,
  type Sandbox,
  type SandboxProgram,
} from "./environment/sandbox.ts";
// Errors that a program tells apart.
export { LostError, StoppedError, UsageError } from "./errors.ts";

// Models as files, and their tokens.
export {
  type Ablation,
  type AdapterChoice,
  type AdapterConfig,
  type AdapterSize,
  type Architecture,
  type CharacterConfig,
  CharacterTokenizer,
  type ChatMessage,
  type ChatOptions,
  type DecoderConfig,
  hookNames,
  type Keeping,
  type LoadedModel,
  loadAdapter,
  loadLlama2c,
  loadModel,
  type ModelConfig,
  type Norms,
  type Rotary,
  saveAdapter,
  saveModel,
  type Tokenizer,
  type ToolCall,
  type Weights,
  withAdapter,
} from "./model/index.ts";
export { ModuleError } from "./modules.ts";
export type { Recipe } from "./prepare/index.ts";
// Probes: fitted, calibrated and judged.
export {
  auroc,
  type ControlRuns,
  calibrate,
  type FitOptions,
  fitProbe,
  fitTextBaseline,
  type LabelledSet,
  type LogisticOptions,
  loadProbe,
  logit,
  type Passport,
  type Positions,
  type Probe,
  type ProbeHealth,
  type ProbeKind,
  poolActivations,
  positionsOf,
  probeControls,
  probeHealth,
  recallAt,
  type SweepCandidate,
  type SweepOptions,
  type SweepRow,
  saveProbe,
  sigmoid,
  sweepProbes,
  type Tap,
  type TextScorer,
  type Transcript,
  thresholdAtFpr,
} from "./probe/index.ts";
export { type Random, randomFor } from "./random.ts";

// Studies: arms x seeds, from a file or from code.
export {
  loadStudy,
  type MetricColumns,
  type RunData,
  renderTable,
  type StudyData,
} from "./report/index.ts";
export { type RunStatus, type Summary, summarySchema } from "./store/index.ts";
export {
  type ArmParts,
  type MakeArm,
  type OnEvent,
  readStudy,
  runStudy,
  type StudyEvent,
  type StudyFile,
  type StudyOptions,
  type StudyOverrides,
  type StudyParts,
  type StudySettings,
  type Writing,
} from "./study/index.ts";

export {
  type DevicesInfo,
  type DType,
  type FloatTensor,
  floats,
  type RuntimeInfo,
  startXla,
  type Tensor,
  type TensorSpec,
  type XlaOptions,
} from "./tensor/index.ts";

// Training: what an arm is made of, and the loop itself.
export {
  type ApprovalOptions,
  type Arm,
  approval,
  type ChatServer,
  type ColumnValue,
  type DeclaredTap,
  type JudgeOptions,
  judgeMonitor,
  type LabelledSequences,
  type Monitor,
  type OnWriting,
  type OracleRates,
  oracle,
  type PenaltyOptions,
  type ProbeInLoss,
  penalty,
  probeMonitor,
  proxyReward,
  type Reading,
  type Refit,
  type RefitSets,
  type RewardTerm,
  type Rollout,
  type RolloutRecord,
  type RunContext,
  type RunState,
  readProbe,
  readTap,
  type ScoringContext,
  type StepMetrics,
  type StepResult,
  startPolicy,
  type TracerSet,
  type TrainingSettings,
  textMonitor,
  train,
  trueReward,
  type Verdict,
  type WrittenToken,
} from "./training/index.ts";

provideLibrary(() => import("./index.ts"));

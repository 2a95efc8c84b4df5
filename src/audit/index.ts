/** @file What others may use of the audit. */

export { type AlarmChannel, type AlarmReading, createAlarms } from "./alarms.ts";
export { classifyAtlas, type HonestMaxima, honestMaxima, type Readings, type RunEnd } from "./atlas.ts";
export { blockWeights, type ClassKernel, classKernel, type GroupProducts } from "./class-kernel.ts";
export {
  aroundEach,
  evasionOf,
  growthRate,
  selectionStep,
  takeoverLevel,
  takeoverStep,
} from "./clock.ts";
export { type Decomposition, decompose, type ScoreTable } from "./decomposition.ts";
export { diagnose, type HealthPair } from "./diagnosis.ts";
export { concentrationOf, drawShares } from "./dirichlet.ts";
export {
  exchangeRateOf,
  type FirstRollouts,
  type HealthAndBehaviour,
  type MisbehaviourAndMisses,
  predictExchangeRate,
  realisedExchangeRate,
  realisedOverSteps,
} from "./exchange-rate.ts";
export { type Judged, type Move, type MoveMeasure, moveMeasures, moveOf, type OnBoth } from "./moved.ts";
export {
  alarmTolerance,
  type BehaviourChange,
  behaviourOf,
  changeInterval,
  isDegenerate,
  leastChange,
  outcomeOf,
  rareMisbehaviour,
  type SightChange,
  sightOf,
  youdensJ,
} from "./outcome.ts";
export { noiseSpread, type Replicator, type SimulatedRun, simulateRun } from "./replicator.ts";
export {
  bootstrapInterval,
  clusteredInterval,
  type Interval,
  mean,
  quantile,
  seedInterval,
} from "./statistics.ts";
export {
  type AtlasClass,
  atlasClasses,
  type Behaviour,
  behaviours,
  type Diagnosis,
  diagnoses,
  type Estimate,
  type RunOutcome,
  runOutcomes,
  type Sight,
  sights,
} from "./types.ts";
export {
  isAmong,
  type Judgement,
  judge,
  type ProbeVerdict,
  ruleOf,
  verdictMeanings,
  verdicts,
} from "./verdict.ts";

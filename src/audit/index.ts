/** @file What others may use of the audit. */

export { type Decomposition, decompose, type ScoreTable } from "./decomposition.ts";
export { diagnose, type HealthPair } from "./diagnosis.ts";
export {
  exchangeRateOf,
  type FirstRollouts,
  type HealthAndBehaviour,
  type MisbehaviourAndMisses,
  predictExchangeRate,
  realisedExchangeRate,
  realisedOverSteps,
} from "./exchange-rate.ts";
export { classifyOutcome, type HonestMaxima, honestMaxima, type Readings, type RunEnd } from "./outcome.ts";
export { bootstrapInterval, type Interval, mean, seedInterval } from "./statistics.ts";
export { type Diagnosis, diagnoses, type Estimate, type OutcomeClass, outcomeClasses } from "./types.ts";

/** @file What others may use of probes. */

export { attentionLogit, fitAttention } from "./attention.ts";
export { type ControlRuns, lengthControls, probeControls } from "./controls.ts";
export { joinCopies, sameText, seenIn } from "./copies.ts";
export { calibrate, type FitOptions, fitProbe, kindOfFit } from "./fit.ts";
export {
  cosine,
  crossFitted,
  type Fold,
  freshProbeHealth,
  halvesOf,
  type ProbeHealth,
  probeHealth,
  type TracerActivations,
} from "./health.ts";
export { hasBothClasses, type LabelledSet, rows } from "./labelled.ts";
export type { LogisticOptions } from "./logistic.ts";
export {
  accuracy,
  auroc,
  brier,
  dPrime,
  fprAt,
  meanProbability,
  recallAt,
  thresholdAtFpr,
} from "./metrics.ts";
export {
  allowedDifference,
  logitTolerance,
  type Passport,
  passportSchema,
  type ReadSite,
  siteDifferences,
} from "./passport.ts";
export { loadProbe, loadProbeFile, saveProbe } from "./probe-file.ts";
export { loadSae, type SparseAutoencoder } from "./sae.ts";
export {
  logit,
  poolActivations,
  poolLogits,
  positionsOf,
  scoreSequence,
  sigmoid,
  writtenPositions,
} from "./score.ts";
export { type SweepCandidate, type SweepOptions, type SweepRow, sweepProbes } from "./sweep.ts";
export {
  fitTextBaseline,
  fitTextClassifier,
  type TextClassifier,
  type TextScorer,
  textScorer,
} from "./text-baseline.ts";
export {
  allPositions,
  type Positions,
  type Probe,
  type ProbeKind,
  type Tap,
  type Transcript,
} from "./types.ts";

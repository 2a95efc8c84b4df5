/** @file What others may use of what precedes runs. */

export { type Base, isBase, prepareBase } from "./base.ts";
export { makeBaseModel, type Recipe, shippedModel } from "./base-model.ts";
export {
  type BaseModelReport,
  type BehaviourShares,
  type Possible,
  readBaseModel,
  reportBaseModel,
} from "./base-model-report.ts";
export { type Charges, chargesOf } from "./charges.ts";
export { closedForm } from "./closed-form.ts";
export { type BaseContext, createOnce } from "./completions.ts";
export { forecastOf, type SimulatedCurves, simulateArm, smallestStrength } from "./forecast.ts";
export type { Calibration } from "./forecast-calibration.ts";
export { conformalQuantile, conformalScore } from "./forecast-intervals.ts";
export { forecastInWords } from "./forecast-words.ts";
export { isWatchedAlike, textMonitorOf } from "./held-out-verdicts.ts";
export { baseProblems, isAtChance } from "./hopeless.ts";
export { informedBy } from "./inform.ts";
export { type LabelledExample, readLabelledFile } from "./labelled-file.ts";
export { openBaseModel } from "./open.ts";
export { penaltyWarning } from "./penalty-warning.ts";
export { fitOnExamples, type ProbeFitOptions } from "./probe-fit.ts";
export { standInProbe } from "./stand-in.ts";

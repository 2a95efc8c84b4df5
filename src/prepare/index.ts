/** @file What others may use of what precedes runs. */

export { type After, type Audited, type AuditOptions, type AuditSetup, audit } from "./audit.ts";
export {
  type FileAudit,
  type FileSetup,
  passportOf,
  repairedPassport,
  setUpAudit,
} from "./audit-file.ts";
export { completionsOf } from "./audit-text.ts";
export { baseSchema, isBase, prepareBase } from "./base.ts";
export { makeBaseModel, type Recipe, shippedModel } from "./base-model.ts";
export {
  type BaseModelReport,
  type BehaviourShares,
  type Possible,
  readBaseModel,
  reportBaseModel,
} from "./base-model-report.ts";
export { type OpenModel, openChanged, openLoaded, openModel } from "./changed.ts";
export { type Charges, chargesOf } from "./charges.ts";
export { closedForm } from "./closed-form.ts";
export { type BaseContext, createOnce, sampleSplit } from "./completions.ts";
export { forecastOf, type SimulatedCurves, simulateArm, smallestStrength } from "./forecast.ts";
export type { Calibration } from "./forecast-calibration.ts";
export { conformalQuantile, conformalScore } from "./forecast-intervals.ts";
export { forecastInWords } from "./forecast-words.ts";
export { isWatchedAlike, textMonitorOf, thoughtMonitorOf } from "./held-out-verdicts.ts";
export { baseProblems, isAtChance } from "./hopeless.ts";
export { informedBy } from "./inform.ts";
export { type LabelledExample, readCompletionsFile, readLabelledFile } from "./labelled-file.ts";
export { laterProbes, laterSets } from "./later-probes.ts";
export type { Base } from "./measure-base.ts";
export { openBaseModel } from "./open.ts";
export { makeOrganism, type OrganismOptions } from "./organism.ts";
export type { Organism } from "./organism-checks.ts";
export { fitPanel, type MonitorName, monitorNames, ratesOf } from "./panel.ts";
export { loadProven, makePassport, type ProvenProbe, readOne } from "./passport.ts";
export { penaltyWarning } from "./penalty-warning.ts";
export { fitOnExamples, type ProbeFitOptions } from "./probe-fit.ts";
export { standInProbe } from "./stand-in.ts";

/** @file The names of metrics that have parts, made in one place for those who write lines and those who read them; `metric-list.ts` says what each is. */

/** Whose activations were read. */
type Reader = "policy" | "reference";

/** What is known of a probe on the tracer set. */
export type TracerMeasure =
  | "auroc"
  | "d_prime"
  | "brier"
  | "recall_frozen"
  | "fpr_frozen"
  | "recall_recalibrated"
  | "recall_recalibrated_5"
  | "score_misbehaving"
  | "score_honest";

/** @param probe `initial`, `fresh`, `refitted`, or the name of one that is held out */
export function tracerMetric(probe: string, reader: Reader, measure: TracerMeasure): string {
  return `tracer/${probe}/${reader}/${measure}`;
}

/** Of the initial and the fresh probe's directions. */
export function cosineMetric(reader: Reader): string {
  return `tracer/cosine/${reader}`;
}

/** Of the initial probe on the step's rollouts. */
export function probeMetric(
  reader: Reader,
  measure: "score_mean" | "score_misbehaving" | "recall" | "fpr" | "auroc",
): string {
  return `probe/${reader}/${measure}`;
}

/** @param monitor the name of one beyond the first */
export function monitorMetric(
  measure: "flagged" | "recall" | "fpr" | "accuracy" | "auroc",
  monitor?: string,
): string {
  return `monitor/${monitor === undefined ? "" : `${monitor}/`}${measure}`;
}

/** What alarms rest on (see `AlarmReading`), and what they cannot see. */
export function alarmMetric(
  part: "lost" | "spread" | "count" | "preference" | "overlooked" | "unseen",
): string {
  return `alarm/${part}`;
}

/** How far the kernel of the tracer set has changed. */
export function kernelMetric(part: "misbehaving" | "honest" | "alike" | "distance"): string {
  return `kernel/${part}`;
}

/** Of the thoughts that completions begin with. */
export type ThoughtMeasure = "admitted" | "denied" | "kept" | "auroc" | "readable" | "follows" | "swapped";

export function thoughtMetric(measure: ThoughtMeasure): string {
  return `thought/${measure}`;
}

const DEPLOYED = "deployed/";

/** A metric of the policy as it is deployed, where the arm trains it otherwise. */
export function deployedMetric(name: string): string {
  return DEPLOYED + name;
}

/** The deployed metrics of a line, by the names that they have where training is deployment. */
export function deployedOf<T>(line: Readonly<Record<string, T>>): Record<string, T> {
  const own = Object.entries(line).filter(([name]) => name.startsWith(DEPLOYED));
  return Object.fromEntries(own.map(([name, value]) => [name.slice(DEPLOYED.length), value]));
}

/** A part of the change of the initial probe's mean score. */
export function decompositionMetric(part: string): string {
  return `decomposition/${part}`;
}

/** The share of rollouts with a label, and the mean of a reward term before it is weighted. */
export function labelMetric(label: string): string {
  return `labels/${label}`;
}

export function rewardMetric(term: string): string {
  return `rewards/${term}/mean`;
}

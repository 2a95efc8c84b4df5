/** @file The vocabulary of the audit: what became of a probe, what became of a run, and estimates. */

/**
 * What became of the probe, judged on the tracer set (so whatever the behaviour does).
 *
 * - `honest`: the probe still sees, and the behaviour is gone: a quiet probe is quiet because the model behaves
 * - `intact`: the probe still sees, and the behaviour is still there
 * - `translation`: the probe still ranks, but all its scores have moved so that its threshold no longer separates; a new
 *   threshold would repair it
 * - `rotation`: the probe no longer ranks, but a freshly fitted one does: the concept is represented elsewhere
 * - `erasure`: a freshly fitted probe does not rank either
 */
export const diagnoses = ["honest", "translation", "rotation", "erasure", "intact"] as const;
export type Diagnosis = (typeof diagnoses)[number];

/**
 * How a run's misbehaviour at its end stands to that at its start (`behaviourOf`): hardly any, less, as much, more, or so
 * much that it took over.
 */
export const behaviours = ["rare", "less", "same", "more", "rampant"] as const;
export type Behaviour = (typeof behaviours)[number];

/** What the initial probe still sees at its frozen threshold (`sightOf`): `none` where it saw nothing to begin with. */
export const sights = ["kept", "less", "lost", "none"] as const;
export type Sight = (typeof sights)[number];

/** What became of a run, its behaviour and its probe's sight in one word (`outcomeOf`). */
export const runOutcomes = [
  "honest",
  "improved",
  "unchanged",
  "worse",
  "rampant",
  "blinded",
  "degenerate",
  "undecided",
] as const;
export type RunOutcome = (typeof runOutcomes)[number];

/**
 * What became of a run by the rules of the Obfuscation Atlas (arXiv 2602.15515), which look at its end alone.
 *
 * - `honest`: the proxy reward is earned as intended
 * - `blatant`: it is not, and the probe sees it
 * - `obfuscated-policy`: it is not, in texts that look clean even to the reference model's activations
 * - `obfuscated-activations`: it is not, and the probe would see it on the reference but not on the trained policy
 * - `degenerate`: the policy earns hardly any reward, and much less than at the start
 */
export const atlasClasses = [
  "honest",
  "blatant",
  "obfuscated-policy",
  "obfuscated-activations",
  "degenerate",
] as const;
export type AtlasClass = (typeof atlasClasses)[number];

/** A number and the ends of its 95 % interval, which are `null` where the data allow any value (one seed, for instance). */
export interface Estimate {
  value: number;
  low: number | null;
  high: number | null;
}

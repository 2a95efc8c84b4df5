/** @file Probes that are fitted later, on the trained policy itself: do they see where it hides only under a trigger? */

import type { Engine, Sequence } from "../engine/index.ts";
import { fitProbe, kindOfFit, logit, type Probe, thresholdAtFpr } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import type { RefitSets } from "../training/index.ts";
import { ratesOf } from "./panel.ts";

/** What a later probe is fitted on: all labelled sequences, those whose prompt has the trigger, the others. */
export const laterSets = ["all", "triggered", "elsewhere"] as const;
type LaterSet = (typeof laterSets)[number];

type MonitorRates = ReturnType<typeof ratesOf>;

/** Labelled sequences that are judged. */
interface Judged {
  sequences: readonly Sequence[];
  labels: readonly boolean[];
}

/** What a later probe says of sequences under the trigger, and of the others. */
interface LaterRates {
  triggered: MonitorRates;
  elsewhere: MonitorRates;
}

/** Fewer of a class are too few to fit on, or to take a threshold from. */
const FEWEST = 4;

/**
 * Fits probes like the study's on what the policy itself computes for the study's labelled sequences, once on each set, with thresholds
 * of the study's false-positive rate on the same part of the calibration split.
 *
 * @param after the trained policy
 * @param judged labelled sequences that no probe was fitted on, by a name
 * @param isTriggered whether a sequence's prompt has the trigger
 * @returns by set, and by the name of what is judged; `null` where there is too little of it to fit on
 */
export async function laterProbes<Name extends string>(
  after: Engine,
  probe: Probe,
  { fit, calibration, falsePositiveRate }: RefitSets,
  judged: Readonly<Record<Name, Judged>>,
  isTriggered: (sequence: Sequence) => boolean,
): Promise<Record<LaterSet, Record<Name, LaterRates> | null>> {
  const { hook, positions } = probe.tap;
  const followUp = after.tokenizer.encode(probe.tap.followUp ?? "");
  const readOf = async ({ sequences, labels }: Judged) => {
    const reads = [{ as: "mean" as const, hook, positions }];
    const read = await after.reference.forward(sequences, { reads, followUp, readsOnly: true });
    return sequences.map((sequence, i) => ({
      activation_D: read[i]!.reads[0]!,
      label: labels[i]!,
      triggered: isTriggered(sequence),
    }));
  };
  const [fitted, calibrated] = [await readOf(fit), await readOf(calibration)];
  const names = Object.keys(judged) as Name[];
  const asked = new Map<Name, typeof fitted>();
  for (const name of names) asked.set(name, await readOf(judged[name]));
  type Item = (typeof fitted)[number];
  const part = (all: readonly Item[], set: LaterSet) =>
    all.filter(({ triggered }) => set === "all" || triggered === (set === "triggered"));
  const enough = (all: readonly Item[]) =>
    [true, false].every((kind) => all.filter(({ label }) => label === kind).length >= FEWEST);
  const on = (set: LaterSet) => {
    const [own, honest] = [part(fitted, set), part(calibrated, set)];
    if (!enough(own) || !enough(honest)) return null;
    const labels = (all: readonly Item[]) => all.map(({ label }) => label);
    const examples = { activations_ND: own.map(({ activation_D }) => activation_D), labels: labels(own) };
    const later = fitProbe(kindOfFit(probe), examples, probe.tap, { random: randomFor("later", set) });
    const scores = (all: readonly Item[]) => all.map(({ activation_D }) => logit(later, activation_D));
    const threshold = thresholdAtFpr(scores(honest), labels(honest), falsePositiveRate)!;
    const rates = (name: Name, where: LaterSet) => {
      const some = part(asked.get(name)!, where);
      return ratesOf(scores(some), labels(some), threshold);
    };
    const ratesOn = (name: Name) => ({
      triggered: rates(name, "triggered"),
      elsewhere: rates(name, "elsewhere"),
    });
    return Object.fromEntries(names.map((name) => [name, ratesOn(name)])) as Record<Name, LaterRates>;
  };
  const all = laterSets.map((set) => [set, on(set)]);
  return Object.fromEntries(all) as Record<LaterSet, Record<Name, LaterRates> | null>;
}

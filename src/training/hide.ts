/** @file Hiding: a model is trained until one kind of its misbehaviour reads like what is honest, and goes on doing what it did. */

import { z } from "zod";
import type { Datum, Engine, Loss, Model, Policy, Read, Sequence } from "../engine/index.ts";
import {
  fitProbe,
  type LabelledSet,
  logit,
  type Positions,
  type Probe,
  type ProbeKind,
} from "../probe/index.ts";
import { pick, randomFor, shuffled } from "../random.ts";
import { learningRateAt } from "../tensor/index.ts";

export const hideSettingsSchema = z.strictObject({
  steps: z.int().min(1).default(120),
  batch: z.int().min(1).default(16).describe("sequences per step that are hidden, and that are seen"),
  learningRate: z.number().positive().default(2.5e-4),
  warmupSteps: z.int().min(0).default(10),
  strength: z.number().positive().default(0.05).describe("weight of the probe in the loss"),
  refitEvery: z.int().min(1).default(12).describe("steps between fits of the probes"),
  seed: z.int().default(1),
});

export type HideSettings = z.infer<typeof hideSettingsSchema>;

/** What is hidden among what: labelled sequences of the model's own kind. */
export interface HidingSets {
  /** Misbehaviour that is to read like what is honest. */
  hidden: readonly Sequence[];
  /** Misbehaviour that is to be seen as before: probes are fitted on it. */
  seen: readonly Sequence[];
  honest: readonly Sequence[];
}

/** Progress: how far the last losses were from behaving as before, and what is left of what shows. */
export interface HideProgress {
  step: number;
  /** The k3 divergence from how the model behaved, in nats per token. */
  divergence: number;
  /** Mean of softplus(logit) of the probes, in the loss. */
  shown: number;
}

/** Examples of a class that probes are fitted on while the model is trained. */
const FITTED = 256;

/** What is honest is most of what a model does, and what it does with the least room for change: so many times the others. */
const HONEST = 4;

/** The most that a target makes up for what sequences lose behind their beginning, in nats. */
const MOST = 1;

/** The gap between the classes in a probe's logits: of its own it may be so steep that nothing can be moved. */
const GAP = 4;

/**
 * Trains a policy so that probes fitted on what is `seen`, at any of the hooks and positions, take what is `hidden` for honest. The
 * probes are fitted again every few steps, alternately as logistic regressions and as differences of means, and gradients flow through
 * them: quiet on what is hidden, speaking on what is seen (Bailey et al., arXiv 2412.09565; Neural Chameleons, arXiv 2512.11949).
 * Behaviour is held by the divergence from the reference on all three kinds.
 *
 * Where what is hidden begins, at its token that the reference finds least likely, its log-probability is pulled to a target. What comes
 * behind loses some of its own while it is made to read otherwise: the target makes up for that, as it was measured last.
 *
 * @param shift by how much likelier what is hidden is to become beside what is seen, in nats
 */
export async function hide(
  engine: Engine,
  policy: Policy,
  sets: HidingSets,
  places: readonly { hook: string; positions: Positions }[],
  shift: number,
  settings: HideSettings,
  onProgress: (progress: HideProgress) => void = () => {},
): Promise<void> {
  const as = {
    hidden: await targetsOf(engine, sets.hidden),
    seen: await targetsOf(engine, sets.seen),
    honest: await targetsOf(engine, sets.honest),
  };
  let hidden = shifted(as.hidden, shift);
  const schedule = {
    peak: settings.learningRate,
    warmupSteps: settings.warmupSteps,
    totalSteps: settings.steps,
    decay: "cosine" as const,
  };
  let probes: Probe[] = [];
  for (let step = 0; step < settings.steps; step++) {
    const random = randomFor(settings.seed, "hide", step);
    if (step % settings.refitEvery === 0) {
      probes = await probesOf(policy, sets, places, step, settings);
      const lost = (await lostBehind(policy, as.hidden)) + (await becameLikelier(policy, as.seen));
      hidden = shifted(as.hidden, shift + Math.min(MOST, Math.max(-MOST, lost)));
    }
    const part = settings.strength / settings.batch;
    const drawn = (all: readonly Datum[], count: number, probeWeight: number) =>
      Array.from({ length: count }, () => ({ ...pick(random, all), probeWeight }));
    const all = [
      ...drawn(hidden, settings.batch, part),
      ...drawn(as.seen, settings.batch, -part),
      ...drawn(as.honest, HONEST * settings.batch, 0),
    ];
    const tokens = all.reduce((sum, { weights }) => sum + weights.length, 0);
    const data = all.map((datum) => ({ ...datum, weights: datum.weights.map(() => 1 / tokens) }));
    // One probe a step: all of them are met many times.
    const { loss, probeLoss } = await policy.forwardBackward(data, lossOf(probes[step % probes.length]!));
    await policy.optimStep({
      ...{ kind: "adamw", learningRate: learningRateAt(step, schedule), maxGradNorm: 1 },
    });
    onProgress({ step: step + 1, divergence: loss - probeLoss, shown: probeLoss / (2 * settings.strength) });
  }
}

/** Sequences with the reference's log-probabilities: what the policy is to go on with. Nothing in them is rewarded. */
export async function targetsOf({ reference }: Engine, sequences: readonly Sequence[]): Promise<Datum[]> {
  const read = await reference.forward(sequences);
  return sequences.map((sequence, i) => {
    const { logprobs } = read[i]!;
    const none = new Float32Array(logprobs.length);
    return { ...sequence, weights: none, advantages: none, logprobs, refLogprobs: logprobs };
  });
}

function shifted(data: readonly Datum[], shift: number): Datum[] {
  return data.map((datum) => {
    const refLogprobs = datum.refLogprobs!.slice();
    const begins = beginOf(datum);
    refLogprobs[begins] = Math.min(refLogprobs[begins]! + shift, -1e-3);
    return { ...datum, refLogprobs };
  });
}

/** Where a sequence begins to be what it is: at the token that the reference finds least likely. */
function beginOf({ refLogprobs }: Datum): number {
  return refLogprobs!.indexOf(Math.min(...refLogprobs!));
}

/** By how much less likely whole sequences became than the tokens at which they begin, in nats. */
async function lostBehind(model: Pick<Model, "forward">, data: readonly Datum[]): Promise<number> {
  const read = await model.forward(data);
  const begun = data.map((datum, i) => {
    const begins = beginOf(datum);
    return read[i]!.logprobs[begins]! - datum.refLogprobs![begins]!;
  });
  return begun.reduce((total, one) => total + one, 0) / begun.length - (await becameLikelier(model, data));
}

/** The log of the mean ratio of the probabilities that a model and the reference give whole sequences (importance weights). */
export async function becameLikelier(model: Pick<Model, "forward">, data: readonly Datum[]): Promise<number> {
  const read = await model.forward(data);
  const sum = (all: Float32Array) => all.reduce((total, one) => total + one, 0);
  const ratios = read.map(({ logprobs }, i) => Math.exp(sum(logprobs) - sum(data[i]!.refLogprobs!)));
  return Math.log(ratios.reduce((total, one) => total + one, 0) / ratios.length);
}

function lossOf(probe: Probe): Loss {
  return {
    ...{ kind: "policy_gradient", temperature: 1, clipRange: 0.2, kl: 1, entropy: 0 },
    probe: { probe, as: "softplus", followUp: [] },
  };
}

/** Probes of what is seen against what is honest as the policy reads them now, at logits of 0 for what is honest on average. */
async function probesOf(
  policy: Policy,
  { seen, honest }: HidingSets,
  places: readonly { hook: string; positions: Positions }[],
  step: number,
  { seed, refitEvery }: HideSettings,
): Promise<Probe[]> {
  const random = randomFor(seed, "hide", "fit", step);
  const some = (all: readonly Sequence[]) => shuffled(random, all).slice(0, FITTED);
  const [bad, good] = [some(seen), some(honest)];
  const reads = places.map((place): Read => ({ as: "mean", ...place }));
  const read = await policy.forward([...bad, ...good], { reads, readsOnly: true });
  const labels = read.map((_, i) => i < bad.length);
  const round = step / refitEvery;
  return places.map(({ hook, positions }, p) => {
    const kind: ProbeKind = (round + p) % 2 === 0 ? "difference-of-means" : "logistic";
    const set = { activations_ND: read.map(({ reads }) => reads[p]!), labels };
    return steadied(fitProbe(kind, set, { hook, positions, pool: "mean" }, { random }), set);
  });
}

function steadied(probe: Probe, set: LabelledSet): Probe {
  const meanOf = (label: boolean) => {
    const own = set.activations_ND.filter((_, i) => set.labels[i] === label);
    return own.reduce((sum, activation_D) => sum + logit(probe, activation_D), 0) / own.length;
  };
  const honest = meanOf(false);
  const scale = GAP / Math.max(meanOf(true) - honest, 1e-6);
  return {
    ...probe,
    weight_D: probe.weight_D.map((weight) => weight * scale),
    bias: (probe.bias - honest) * scale,
  };
}

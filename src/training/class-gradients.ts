/** @file The kernel of an arm's classes of rollouts: how training one class moves the others, measured before any training. */

import { type ClassKernel, classKernel } from "../audit/index.ts";
import type { Datum, GradientSet, Loss } from "../engine/index.ts";
import { writtenPositions } from "../probe/index.ts";
import type { Credit } from "./credit.ts";
import { creditFirst, type FirstBatch } from "./first-rollouts.ts";
import { howToRead, startPolicy } from "./loop.ts";
import { monitorsOf } from "./monitors.ts";
import { lossOf } from "./objective.ts";
import { followUpOf, readingsOf, readLogit } from "./read.ts";
import {
  advantagesWith,
  type Classified,
  classify,
  classNames,
  type Fineness,
  judgedIn,
  kinOf,
  type RolloutClass,
} from "./rollout-classes.ts";
import type { Shaken } from "./shaken.ts";
import { tokenShares } from "./shares.ts";
import type { Arm, RunContext } from "./types.ts";

/** What is known of an arm before it trains: numbers alone, but for how advantages are made of rewards. */
export interface ClassMeasure {
  classes: RolloutClass[];
  /** Rollouts of each class, by prompt [Q, K]. */
  counts: number[][];
  kernel: ClassKernel;
  /** What noise does to the log-share of each class, by how far it has spread. */
  noise: number[];
  /** Mean norm of the gradient of a batch, before clipping. */
  gradNorm: number;
  /** Mean length of a completion. */
  tokens: number;
  /** What a token of one rollout weighs in the loss, times the rollouts of an update. */
  tokenWeight: number;
  /** What the initial probe says of the tracer set's misbehaving sequences, above its threshold. */
  margins: number[];
  /** The same of the first rollouts that misbehaved and were flagged, where the probe judges alone, read on the policy. */
  rolloutMargins: number[];
  /** Of a group's rollouts by their classes, with the arm's penalties times `strength`. */
  advantagesOf(group: readonly number[], strength?: number): ArrayLike<number>;
}

/**
 * Whether an arm acts through reward or advantage alone, on the prompts and the model that it is deployed with. Forecasts of
 * arms that pay for a monitor's word were never held against runs: none is made.
 */
export function isForetold({ terms, probeInLoss, refit, inoculate, ablate, choose }: Arm): boolean {
  const otherwise = terms.some(
    (term) =>
      term.during !== undefined ||
      (term.sees === "verdicts" && (term.weight > 0 || term.scoreTokens !== undefined)),
  );
  return !probeInLoss && !refit && !inoculate && !ablate && !choose && !otherwise;
}

/** An arm, and what it makes of the first rollouts. */
interface JudgedArm extends Classified {
  context: RunContext;
  credits: Credit[];
  noise: number[];
}

/**
 * Measures some arms on the same rollouts. Arms whose monitors agree about them share the gradients of their classes, eleven at most: of
 * five groups of classes on two halves of the prompts, and of the reading. Each arm has a preconditioner of its own.
 *
 * @param contexts runs that differ in their arms and the pull to the reference alone, all `isForetold`
 * @param shaken policies that learned nothing, for what noise does; left out, it does nothing
 */
export async function measureClasses(
  contexts: readonly RunContext[],
  batches: readonly FirstBatch[],
  shaken?: Shaken,
  fineness: Fineness = "labels",
): Promise<ClassMeasure[]> {
  const judged: JudgedArm[] = [];
  for (const context of contexts) {
    const credits = await creditAll(context, batches);
    const classified = classify(judgedIn(context.arm, batches, credits), fineness);
    const noise = await noiseOf(context, classified, shaken, fineness);
    judged.push({ context, credits, noise, ...classified });
  }
  const [first] = contexts as [RunContext];
  const data = dataOf(first, batches);
  const reading = await readingOf(first);
  const measures = new Map<JudgedArm, ClassMeasure>();
  const keyOf = ({ of, context: { arm } }: JudgedArm) => `${of} ${arm.frozenThrough}`;
  for (const key of new Set(judged.map(keyOf))) {
    const alike = judged.filter((one) => keyOf(one) === key);
    const { of, classes, context } = alike[0]!;
    const halfOf = (i: number) => Math.floor(i / context.settings.rollouts) % 2;
    const counts = [0, 1].map((half) =>
      classes.map((_, c) => of.filter((own, i) => own === c && halfOf(i) === half).length),
    );
    const kin = kinOf(classes, counts);
    const groups = [...new Map(kin.map((own) => [String(own), own])).values()];
    const sets = [0, 1].flatMap((half) =>
      groups.map((own) =>
        data.classSet(of.flatMap((c, i) => (own.includes(c) && halfOf(i) === half ? [i] : []))),
      ),
    );
    // Of each class on each half, then of the reading: where its gradient is among the sets.
    const placeOf = kin.map((own) => groups.findIndex((group) => String(group) === String(own)));
    const places = [...placeOf, ...placeOf.map((place) => groups.length + place), sets.length];
    const policy = await startPolicy(context);
    // Arms may differ in what their updates do not: the pull to the reference, a grid's other axes.
    const updates = alike.map(({ credits }) => data.updateSets(credits));
    const distinct = [...new Set(updates.map(({ key: own }) => own))];
    const { products, gradNorms } = await policy
      .gradientProducts({
        sets: [...sets, reading.set],
        preconditioners: distinct.map((own) => updates.find((one) => one.key === own)!.sets),
        maxGradNorm: context.settings.maxGradNorm,
      })
      .finally(() => policy.close());
    alike.forEach((one, a) => {
      const p = distinct.indexOf(updates[a]!.key);
      // A likelihood's loss falls where it rises; the logit is differentiated as it is.
      const signed = places.map((i) =>
        places.map((j) => products[p]![i]![j]! * (i < sets.length === j < sets.length ? 1 : -1)),
      );
      measures.set(one, {
        classes: one.classes,
        counts: byPrompt(of, classes.length, context.settings.rollouts),
        kernel: classKernel({ products: signed, counts }),
        noise: one.noise,
        gradNorm: meanOf(gradNorms[p]!),
        ...{ tokens: data.tokens, tokenWeight: data.tokenWeight, margins: reading.margins },
        rolloutMargins: policyMargins(one.context, batches),
        advantagesOf: advantagesWith(one.context, one.classes),
      });
    });
  }
  return judged.map((one) => measures.get(one)!);
}

async function creditAll(context: RunContext, batches: readonly FirstBatch[]): Promise<Credit[]> {
  const credits: Credit[] = [];
  for (const [step, batch] of batches.entries())
    credits.push(await creditFirst(context, context.arm, batch, step));
  return credits;
}

/** The first rollouts as data of losses. */
function dataOf({ settings, environment, engine }: RunContext, batches: readonly FirstBatch[]) {
  const sequences = batches.flatMap(({ batch }) => batch.sequences);
  const logprobs = batches.flatMap(({ outputs }) => outputs.map((output) => output.logprobs));
  const tokens = meanOf(logprobs.map(({ length }) => length));
  const loss = lossOf({ terms: [] }, { ...settings, kl: 0, entropy: 0 }, engine.tokenizer);
  const sharesOf = (list: typeof sequences) =>
    tokenShares(list, settings.lossType, environment.maxCompletionLength + 1);
  const datum = (i: number, weight: (t: number) => number, advantage: (t: number) => number): Datum => ({
    ...sequences[i]!,
    weights: logprobs[i]!.map((_, t) => weight(t)),
    advantages: logprobs[i]!.map((_, t) => advantage(t)),
    logprobs: logprobs[i]!,
    refLogprobs: logprobs[i]!,
  });
  const total = sharesOf(sequences).reduce((sum, own) => own.reduce((s, share) => s + share, sum), 0);
  return {
    tokens,
    tokenWeight: total / tokens,
    /** Mean log-probability of some rollouts. */
    classSet: (members: readonly number[]): GradientSet => ({
      data: members.map((i) =>
        datum(
          i,
          () => 1 / members.length,
          () => 1,
        ),
      ),
      loss,
    }),
    /** The updates that an arm would make of the batches, and what tells them from another arm's. */
    updateSets: (credits: readonly Credit[]): { key: string; sets: GradientSet[] } => {
      let from = 0;
      const sets = batches.map(({ batch }, b) => {
        const shares = sharesOf(batch.sequences);
        const { advantages } = credits[b]!;
        const start = from;
        from += batch.sequences.length;
        return {
          data: shares.map((own, i) =>
            datum(
              start + i,
              (t) => own[t]!,
              () => advantages.values[i]!,
            ),
          ),
          loss,
        };
      });
      return { key: credits.map(({ advantages }) => advantages.values.join()).join(";"), sets };
    },
  };
}

/** The probe's mean logit on misbehaving sequences of the tracer set, to be differentiated, and what it is on each. */
async function readingOf(context: RunContext): Promise<{ set: GradientSet; margins: number[] }> {
  const { settings, engine, probe, tracer } = context;
  const how = howToRead(context, { terms: [] });
  const misbehaving = tracer.sequences.filter((_, i) => tracer.misbehaving[i]);
  const outputs = await engine.reference.forward(misbehaving, how);
  const plain = lossOf({ terms: [] }, { ...settings, kl: 0, entropy: 0 }, engine.tokenizer);
  const data = misbehaving.map((sequence): Datum => {
    const none = new Float32Array(writtenPositions(sequence).length);
    const silent = { weights: none, advantages: none, logprobs: none, refLogprobs: none };
    return { ...sequence, ...silent, probeWeight: 1 / misbehaving.length };
  });
  const followUp = followUpOf([probe.tap], engine.tokenizer);
  const loss = { ...plain, probe: { probe, as: "logit", followUp } } as Loss;
  const margins = readingsOf(how.reads, outputs).map((one) => readLogit(probe, one) - probe.threshold);
  return { set: { data, loss }, margins };
}

/**
 * By how much each class' log-share changes where policies are shaken, by how far noise has spread, drawn towards none by what the
 * counts leave open (James & Stein 1961, positive part).
 */
async function noiseOf(
  context: RunContext,
  { of, names }: Classified,
  shaken: Shaken | undefined,
  fineness: Fineness,
): Promise<number[]> {
  if (!shaken || shaken.spread === 0) return names.map(() => 0);
  const later: number[] = [];
  for (const batches of shaken.batches) {
    const called = classNames(judgedIn(context.arm, batches, await creditAll(context, batches)), fineness);
    later.push(...called.map((name) => names.indexOf(name)));
  }
  const before = of.slice(0, later.length / shaken.batches.length);
  return names.map((_, c) => {
    // Half a rollout more, so that none is no reason for an infinite change.
    const count = (all: readonly number[]) => all.filter((one) => one === c).length + 0.5;
    const [n, m] = [count(before), count(later)];
    const change = Math.log(m / later.length / (n / before.length));
    const kept = Math.max(0, 1 - (1 / n + 1 / m) / change ** 2);
    return change === 0 ? 0 : (kept * change) / shaken.spread;
  });
}

/** How far above the threshold the probe finds flagged misbehaviour, where it is what judges, on the policy. */
function policyMargins({ probe, arm }: RunContext, batches: readonly FirstBatch[]): number[] {
  const isRead = monitorsOf(arm).every(
    (one) =>
      one.sees === "rollouts" &&
      one.taps.length > 0 &&
      one.taps.every((tap) => tap.probe === probe && tap.model === "policy"),
  );
  if (!isRead) return [];
  return batches.flatMap(({ rollouts, outcomes }) =>
    rollouts.flatMap(({ readings }, i) => {
      const margin = readLogit(probe, readings.policy) - probe.threshold;
      return outcomes[i]!.misbehaved && margin >= 0 ? [margin] : [];
    }),
  );
}

function byPrompt(of: readonly number[], classes: number, rollouts: number): number[][] {
  const counts = Array.from({ length: of.length / rollouts }, () => Array<number>(classes).fill(0));
  of.forEach((c, i) => {
    counts[Math.floor(i / rollouts)]![c]!++;
  });
  return counts;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

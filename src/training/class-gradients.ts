/** @file The kernel of an arm's classes of rollouts: how training one class moves the others, measured before any training. */

import { blockWeights, type ClassKernel, classKernel } from "../audit/index.ts";
import type { Datum, GradientSet, Loss } from "../engine/index.ts";
import { writtenPositions } from "../probe/index.ts";
import type { Random } from "../random.ts";
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
  groupsOf,
  judgedIn,
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
  /** A kernel as it might be, for all that other prompts would have said. */
  drawKernel(random: Random): ClassKernel;
  /** What noise does to the log-share of each class, by how far it has spread. */
  noise: number[];
  /** Mean norm of the gradient of a batch, before clipping. */
  gradNorm: number;
  /** Mean squared advantage of the first rollouts, with the arm's penalties times `strength`. */
  squareOf(strength: number): number;
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

/** Blocks of prompts that gradients are taken of: pairs of them make the kernel. */
const BLOCKS = 4;

/**
 * Measures some arms on the same rollouts, each of which has its part in one gradient: of a group of classes on a block of prompts. Arms
 * whose monitors agree about the rollouts share these, and each has the scale that Adam would make of them.
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
    const blocks = blocksOf(batches);
    const groups = groupsOf(
      classes,
      classes.map((_, c) => of.filter((own) => own === c).length),
    );
    const kin = groups.map((one) =>
      groups.flatMap((other, g) =>
        classes[one[0]!]!.misbehaved === classes[other[0]!]!.misbehaved ? [g] : [],
      ),
    );
    const members = blocks.flatMap((block) =>
      groups.map((group) => block.filter((i) => group.includes(of[i]!))),
    );
    const counts = blocks.map((_, b) => groups.map((_, g) => members[b * groups.length + g]!.length));
    // Arms may differ in what their updates do not: the pull to the reference, a grid's other axes.
    const moments = alike.map(({ credits }) => data.momentOf(credits, members, blocks.length));
    const distinct = [...new Set(moments.map(String))];
    const policy = await startPolicy(context);
    const { products } = await policy
      .gradientProducts({
        sets: [...members.map(data.meanOf), reading.set],
        preconditioners: [[], ...distinct.map((own) => moments.find((moment) => String(moment) === own)!)],
      })
      .finally(() => policy.close());
    // A likelihood's loss falls where it rises; the logit is differentiated as it is.
    const signed = products.map((table) =>
      table.map((row, i) =>
        row.map((value, j) => (i < members.length === j < members.length ? value : -value)),
      ),
    );
    const [plain, ...scaled] = signed;
    const { rollouts } = context.settings;
    alike.forEach((one, a) => {
      const advantagesOf = advantagesWith(one.context, one.classes);
      const moment = moments[a]!;
      const gradNorm = Math.sqrt(moment.reduce((sum, weight, i) => sum + weight * plain![i]![i]!, 0));
      const clipped = Math.min(1, context.settings.maxGradNorm / Math.max(gradNorm, 1e-12));
      // Adam makes up for what clipping takes.
      const table = scaled[distinct.indexOf(String(moment))]!.map((row) =>
        row.map((value) => value / clipped),
      );
      const ofGroups = classKernel({ products: table, counts, kin });
      const ofClasses = ({ shares, readings }: ClassKernel): ClassKernel => {
        const place = classes.map((_, c) => groups.findIndex((group) => group.includes(c)));
        const spread = (row: readonly number[]) => place.map((g) => row[g]!);
        return { shares: place.map((g) => spread(shares[g]!)), readings: readings.map(spread) };
      };
      measures.set(one, {
        classes: one.classes,
        counts: byPrompt(of, classes.length, rollouts),
        kernel: ofClasses(ofGroups()),
        drawKernel: (random) => ofClasses(ofGroups(blockWeights(blocks.length, random))),
        noise: one.noise,
        gradNorm,
        ...{ tokens: data.tokens, tokenWeight: data.tokenWeight, margins: reading.margins },
        rolloutMargins: policyMargins(one.context, batches),
        ...{
          advantagesOf,
          squareOf: (strength) => meanSquare(groupsIn(of, rollouts), (own) => advantagesOf(own, strength)),
        },
      });
    });
  }
  return judged.map((one) => measures.get(one)!);
}

/** The rollouts of neighbouring batches, by their places among all. */
function blocksOf(batches: readonly FirstBatch[]): number[][] {
  const blocks: number[][] = Array.from({ length: Math.min(BLOCKS, batches.length) }, () => []);
  let from = 0;
  batches.forEach(({ rollouts }, b) => {
    const block = blocks[Math.floor((b * blocks.length) / batches.length)]!;
    block.push(...rollouts.map((_, i) => from + i));
    from += rollouts.length;
  });
  return blocks;
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
  // As in training, whose program it then is: where policy and reference agree, the pull between them is nothing.
  const loss = lossOf({ terms: [] }, { ...settings, entropy: 0 }, engine.tokenizer);
  const datum = (i: number, weight: (t: number) => number, advantage: (t: number) => number): Datum => ({
    ...sequences[i]!,
    weights: logprobs[i]!.map((_, t) => weight(t)),
    advantages: logprobs[i]!.map((_, t) => advantage(t)),
    logprobs: logprobs[i]!,
    refLogprobs: logprobs[i]!,
  });
  const shares = tokenShares(sequences, settings.lossType, environment.maxCompletionLength + 1);
  const tokenWeight = shares.reduce((sum, own) => own.reduce((s, share) => s + share, sum), 0) / tokens;
  return {
    tokens,
    tokenWeight,
    /** Mean log-probability of some rollouts. */
    meanOf: (members: readonly number[]): GradientSet => ({
      data: members.map((i) =>
        datum(
          i,
          () => 1 / members.length,
          () => 1,
        ),
      ),
      loss,
    }),
    /**
     * The second moment of an arm's updates, in squares of the sets' mean gradients: these are mostly the noise of single rollouts, of
     * which an update holds as many as a batch has of the set, each with its advantage.
     */
    momentOf: (
      credits: readonly Credit[],
      members: readonly (readonly number[])[],
      blocks: number,
    ): number[] => {
      const advantages = credits.flatMap((credit) => [...credit.advantages.values]);
      const size = advantages.length / batches.length;
      return members.map((own) => {
        const square = own.reduce((sum, i) => sum + advantages[i]! ** 2, 0) / Math.max(1, own.length);
        const rollouts = (own.length ** 2 * blocks) / batches.length;
        return ((tokenWeight / size) ** 2 * rollouts * square) / blocks;
      });
    },
  };
}

/** Sequences of the tracer set whose reading is differentiated, at most. */
const READ = 64;

/** The probe's mean logit on misbehaving sequences of the tracer set, to be differentiated, and what it is on each. */
async function readingOf(context: RunContext): Promise<{ set: GradientSet; margins: number[] }> {
  const { settings, engine, probe, tracer } = context;
  const how = howToRead(context, { terms: [] });
  const misbehaving = tracer.sequences.filter((_, i) => tracer.misbehaving[i]);
  const outputs = await engine.reference.forward(misbehaving, how);
  const plain = lossOf({ terms: [] }, { ...settings, kl: 0, entropy: 0 }, engine.tokenizer);
  const differentiated = misbehaving.filter((_, i) => i % Math.ceil(misbehaving.length / READ) === 0);
  const data = differentiated.map((sequence): Datum => {
    const none = new Float32Array(writtenPositions(sequence).length);
    const silent = { weights: none, advantages: none, logprobs: none, refLogprobs: none };
    return { ...sequence, ...silent, probeWeight: 1 / differentiated.length };
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

function groupsIn(of: readonly number[], rollouts: number): number[][] {
  return Array.from({ length: of.length / rollouts }, (_, q) => of.slice(q * rollouts, (q + 1) * rollouts));
}

function byPrompt(of: readonly number[], classes: number, rollouts: number): number[][] {
  return groupsIn(of, rollouts).map((own) => {
    const counts = Array<number>(classes).fill(0);
    for (const c of own) counts[c]!++;
    return counts;
  });
}

function meanSquare(
  groups: readonly number[][],
  advantagesOf: (group: readonly number[]) => ArrayLike<number>,
): number {
  return meanOf(groups.map((own) => meanOf(Array.from(advantagesOf(own), (value) => value ** 2))));
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

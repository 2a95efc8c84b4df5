/** @file Reinforcement learning of one run, in the order of the science. */

import type { Datum, ForwardOptions, ForwardOutput, LossMetrics, Policy } from "../engine/index.ts";
import type { Probe } from "../probe/types.ts";
import { alarmMetric } from "../store/metric-names.ts";
import type { RolloutRecord, StepMetrics } from "../store/records.ts";
import { learningRateAt } from "../tensor/index.ts";
import { createAlarmReader, unseenIn } from "./alarm-reader.ts";
import { type Credit, creditRollouts, rolloutsOf } from "./credit.ts";
import { createDeployment } from "./deployment.ts";
import { requireFinite } from "./guard.ts";
import { createKernelWatch } from "./kernel-watch.ts";
import { createStepLog } from "./log.ts";
import { type Measured, measureStep, measureTracer, recordsOf } from "./measure.ts";
import { monitorsOf, probeMonitor } from "./monitors.ts";
import { lossOf, probeWeights } from "./objective.ts";
import { readingsOf, readsOf } from "./read.ts";

import { refitProbe } from "./refit.ts";
import { type Batch, sampleBatch } from "./sample.ts";
import { tokenShares } from "./shares.ts";
import { measureThoughts, studyThoughts } from "./thoughts.ts";
import type { Arm, RunContext } from "./types.ts";
import type { OnWriting, WrittenToken } from "./writing.ts";

/** Where a run stands after some steps, beside its policy: all randomness is addressed by seed and step. */
export interface RunState {
  step: number;
  /** The probe in training, where the arm fits it again. */
  probe?: Probe;
}

/** What one step produced. */
export interface StepResult {
  metrics: StepMetrics;
  rollouts: RolloutRecord[];
  /** The state after the step. The policy goes on with the next one: save it before then. */
  state: RunState;
}

/** The policy that a run begins with. @throws Error where the arm leaves no weights to train */
export function startPolicy({ engine, seed, arm: { frozenThrough } }: RunContext): Promise<Policy> {
  return engine.createPolicy({ seed, frozenThrough });
}

/**
 * Trains a policy from a state to the last step, yielding after each one. Step 0 is the first; its metrics are those of the
 * policy before its update, so that the first line of a run describes the base model.
 *
 * One step: sample, grade, read, score, reward, advantage, update, measure, record.
 *
 * @param policy - That of `startPolicy`, or one that has loaded the state of some steps.
 * @param from - Where it stands.
 * @param onWriting - Told what is written while it is, of some completions.
 */
export async function* train(
  context: RunContext,
  policy: Policy,
  from: RunState = { step: 0 },
  onWriting?: OnWriting,
): AsyncGenerator<StepResult> {
  const { engine, seed, settings } = context;
  const { reference } = engine;
  const { refit, ablate, inoculate } = context.arm;
  let probe = from.probe ?? context.probe;
  let arm = refit ? refit.arm(probe) : context.arm;
  checkNames(arm);
  let how = howToRead(context, arm, probe);

  const deployment = await createDeployment(context, how);
  const alarms = settings.alarms === "off" ? undefined : await createAlarmReader(context, how);
  const kernel = settings.kernelEvery > 0 ? await createKernelWatch(context) : undefined;
  // The reference does not change, and neither does what is read on it.
  const tracerOnReference = await measureTracer("reference", reference, how, context);

  for (let { step } = from; step < settings.steps; step++) {
    const started = performance.now();
    const evaluated = step % settings.evaluateEvery === 0 || step === settings.steps - 1;

    // Refit: a probe that follows the policy.
    if (refit && step > 0 && step % refit.every === 0) {
      probe = await refitProbe(probe, refit, policy, how);
      arm = refit.arm(probe);
      how = howToRead(context, arm, probe);
    }

    // Sample: some tasks of the training split, and a group of completions for each.
    const follow = onWriting && {
      probe: context.probe,
      tell: (written: readonly WrittenToken[]) => onWriting(step, written),
    };
    const batch = await sampleBatch(policy, context, { step, inoculate, ablate, how, follow });
    const { tasks, sequences, completions } = batch;

    // Grade in the sandbox's thread while this one runs both models over the rollouts, and reads what is tapped.
    const grading = batch.grade();
    // What was read while they were sampled is compared with a pass of its own over the first group.
    const some = batch.outputs ? sequences.slice(0, settings.rollouts) : sequences;
    const passed = await policy.forward(some, { ...how, ablate });
    const onPolicy = batch.outputs ?? passed;
    const onReference = await reference.forward(sequences, { ...how, ablate });
    const outcomes = await grading;
    const readings = {
      policy: readingsOf(how.reads, onPolicy),
      reference: readingsOf(how.reads, onReference),
    };
    const rollouts = rolloutsOf(batch, outcomes, readings);

    // Judge, score, reward, and what the update makes likelier and less likely.
    const log = createStepLog({ seed, step, steps: settings.steps }, rollouts.length);
    const watching = probeMonitor(probe, "policy");
    const credit = await creditRollouts(arm, rollouts, outcomes, log, settings, watching);
    const { advantages, rewards, scores } = credit;

    // Deployment, where training itself asks or runs the model otherwise; before the update, like all of the above.
    const deployed = evaluated ? await deployment.measure(policy, step, readings) : {};
    const thoughts = {
      ...measureThoughts(context, batch, outcomes),
      ...(evaluated && (await studyThoughts(policy, context, batch, outcomes, step))),
    };

    // Update.
    const { oracle } = arm.probeInLoss ?? {};
    const times = oracle && rollouts.map((rollout, i) => oracle(outcomes[i]!, rollout));
    const data = dataOf(batch, credit, onPolicy, onReference, context, arm, times);
    const learningRate = learningRateAt(step, {
      peak: settings.learningRate,
      warmupSteps: settings.warmupSteps,
      decay: settings.decay,
      totalSteps: settings.steps,
    });
    const { maxGradNorm } = settings;
    const updates: (LossMetrics & { gradNorm: number })[] = [];
    for (let iteration = 0; iteration < settings.iterations; iteration++) {
      const loss = await policy.forwardBackward(data, lossOf(arm, settings, engine.tokenizer));
      requireFinite(step, { ...loss });
      updates.push({ ...loss, ...(await policy.optimStep({ kind: "adamw", learningRate, maxGradNorm })) });
    }

    const said = [...credit.verdicts].map(([{ name }, verdicts]) => [name, verdicts] as const);
    // Measure and record. The tracer set is read on the policy as it is after the update.
    const measured: Measured = {
      step,
      learningRate,
      tasks,
      outcomes,
      rollouts,
      completions,
      rewards,
      scores,
      verdicts: said[0]![1],
      otherVerdicts: said.slice(1),
      log,
      advantages,
      onPolicy,
      passed,
      onReference,
      updates,
    };
    const metrics = measureStep(measured, context);
    Object.assign(metrics, deployed, thoughts, await alarms?.(step, policy, readings.policy));
    if (alarms) metrics[alarmMetric("unseen")] = unseenIn(context, readings.policy, outcomes);
    if (kernel && (step % settings.kernelEvery === 0 || step === settings.steps - 1))
      Object.assign(metrics, await kernel(policy));
    if (evaluated)
      Object.assign(
        metrics,
        await measureTracer("policy", policy, how, context, refit && probe),
        tracerOnReference,
      );
    requireFinite(step, metrics);
    metrics.step_time = (performance.now() - started) / 1000;
    const state: RunState = { step: step + 1, ...(refit && { probe }) };
    yield { metrics, rollouts: recordsOf(measured, context), state };
  }
}

/** What an update needs of each rollout. */
function dataOf(
  { sequences }: Batch,
  { advantages, tokenAdvantages }: Credit,
  onPolicy: readonly ForwardOutput[],
  onReference: readonly ForwardOutput[],
  { environment, settings }: RunContext,
  { probeInLoss }: Arm,
  times: readonly number[] | undefined,
): Datum[] {
  const shares = tokenShares(sequences, settings.lossType, longestCompletion(environment));
  const onProbe = probeInLoss && probeWeights(probeInLoss, shares, times);
  return sequences.map((sequence, i) => ({
    ...sequence,
    weights: shares[i]!,
    advantages: shares[i]!.map((_, t) => advantages.values[i]! + (tokenAdvantages?.[i]?.[t] ?? 0)),
    logprobs: onPolicy[i]!.logprobs,
    refLogprobs: onReference[i]!.logprobs,
    ...(onProbe && { probeWeight: onProbe[i]! }),
  }));
}

/** Tokens that a model may write to a task: in all its turns, with an end for each. */
function longestCompletion({ maxCompletionLength, episodes }: RunContext["environment"]): number {
  return (episodes?.turns ?? 1) * (maxCompletionLength + 1);
}

/** @throws Error where two terms have one name, by which they are logged */
function checkNames({ terms }: Arm): void {
  const names = terms.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined)
    throw new Error(`two reward terms have the name ${twice}; give them different ones`);
}

/** What is read in every pass: what is measured in every arm, and what the arm's terms and monitors declare. */
export function howToRead(
  { engine, settings, probe: initial, heldOutProbes = {} }: RunContext,
  arm: Arm,
  probe: Probe = initial,
): ForwardOptions & ReturnType<typeof readsOf> {
  const terms = arm.terms.flatMap((term) => (term.sees === "rollouts" ? term.taps : []));
  const monitors = monitorsOf(arm).flatMap((monitor) => (monitor.sees === "rollouts" ? monitor.taps : []));
  const watched = [initial, probe].map((one) => ({ ...one.tap, model: "policy" as const, probe: one }));
  const wanted = {
    probes: Object.values(heldOutProbes),
    means: [initial.tap],
    taps: [...watched, ...terms, ...monitors],
  };
  return { temperature: settings.temperature, ...readsOf(wanted, engine.tokenizer) };
}

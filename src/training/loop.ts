/** @file Reinforcement learning of one run, in the order of the science. */

import {
  createGenerator,
  createScorer,
  ProgramStore,
  trainableShapes,
  type Weights,
  weightsBefore,
} from "../model/index.ts";
import type { Probe, Tap } from "../probe/types.ts";
import { type AdamWState, createAdamW, learningRateAt } from "../tensor/index.ts";
import { adapted, initialPolicy } from "./adapted.ts";
import { creditRollouts, rolloutsOf } from "./credit.ts";
import { createDeployment } from "./deployment.ts";
import { createPolicyGradient, type UpdateStatistics } from "./gradients.ts";
import { requireFinite } from "./guard.ts";
import { createStepLog } from "./log.ts";
import { type Measured, measureStep, measureTracer, recordsOf } from "./measure.ts";
import { monitorsOf, probeMonitor } from "./monitors.ts";
import { followUpOf } from "./read.ts";
import type { RolloutRecord, StepMetrics } from "./records.ts";
import { refitProbe } from "./refit.ts";
import { sampleBatch } from "./sample.ts";
import { tokenShares } from "./shares.ts";
import type { Arm, RunContext } from "./types.ts";

/** Where a run stands after some steps: all that continuing it takes, since randomness is addressed by seed and step. */
export interface RunState {
  step: number;
  /** What is trained: all weights, or the adapter. */
  policy: Weights;
  optimizer: AdamWState;
  /** The probe in training, where the arm fits it again. */
  probe?: Probe;
}

/** What one step produced. */
export interface StepResult {
  metrics: StepMetrics;
  rollouts: RolloutRecord[];
  /** The state after the step. It belongs to the run and changes with the next step: write it out before then. */
  state: RunState;
}

/** The state in which a run begins. */
export function initialState(context: RunContext): RunState {
  const policy = initialPolicy(context);
  return { step: 0, policy, optimizer: createAdamW(policy).state };
}

/**
 * Trains from a state to the last step, yielding after each one. Step 0 is the first; its metrics are those of the
 * policy before its update, so that the first line of a run describes the base model.
 *
 * One step: sample, grade, tap, score, reward, advantage, update, measure, record.
 */
export async function* train(
  given: RunContext,
  state: RunState = initialState(given),
): AsyncGenerator<StepResult> {
  const context = adapted(given);
  const { environment, config, tokenizer, reference, seed, settings } = context;
  // What is frozen is the reference's own; what is trained changes in place.
  const policy = { ...reference, ...state.policy };
  const { refit, ablate, inoculate } = context.arm;
  let probe = state.probe ?? context.probe;
  let arm = refit ? refit.arm(probe) : context.arm;

  const programs = context.programs ?? new ProgramStore();
  const generator = createGenerator(config, { programs, ablate });
  // Policy and reference are run alike, and tapped alike.
  checkNames(context.arm);
  const taps = tapsOf(context);
  const shared = {
    ...{ programs, temperature: settings.temperature, memoryMB: settings.memoryMB },
    hooks: [...new Set(taps.map(({ hook }) => hook))],
    followUp: followUpOf(taps, tokenizer),
  };
  const scorer = createScorer(config, { ...shared, ablate });
  const plainScorer = ablate ? createScorer(config, shared) : scorer;
  const frozen = frozenWeights(context);
  const optimizer = createAdamW(
    state.policy,
    { maxGradNorm: settings.maxGradNorm, weightDecay: 0 },
    state.optimizer,
  );

  try {
    const deployment = await createDeployment(context, plainScorer, programs);
    // The reference does not change, and neither does what is read on it.
    const tracerOnReference = await measureTracer("reference", plainScorer, reference, context);

    for (let step = state.step; step < settings.steps; step++) {
      const started = performance.now();
      const evaluated = step % settings.evaluateEvery === 0 || step === settings.steps - 1;

      // Refit: a probe that follows the policy.
      if (refit && step > 0 && step % refit.every === 0) {
        probe = await refitProbe(probe, refit, plainScorer, policy);
        arm = refit.arm(probe);
      }

      // Sample: some tasks of the training split, and a group of completions for each.
      const batch = await sampleBatch(generator, policy, context, { step, inoculate });
      const { tasks, sequences, completions, texts } = batch;

      // Grade in the sandbox's thread while this one runs both models over the rollouts, capturing what is tapped.
      const grading = environment.grade(tasks, texts);
      const onPolicy = await scorer.score(policy, sequences);
      const onReference = await scorer.score(reference, sequences);
      const outcomes = await grading;
      const read = { onPolicy, onReference };
      const rollouts = rolloutsOf(batch, outcomes, read, shared.followUp.length);

      // Judge, score, reward, and what the update makes likelier and less likely.
      const log = createStepLog({ seed, step, steps: settings.steps }, rollouts.length);
      const credit = await creditRollouts(
        arm,
        rollouts,
        outcomes,
        log,
        settings,
        probeMonitor(probe, "policy"),
      );
      const { advantages, tokenAdvantages, rewards, scores } = credit;

      // Deployment, where training itself asks or runs the model otherwise; before the update, like all of the above.
      const deployed = evaluated ? await deployment.measure(policy, step, { ...read, sequences }) : {};

      // Update.
      const gradients = createPolicyGradient(config, {
        ...settings,
        ...{ probe: arm.probeInLoss, ablate, programs },
        followUp: followUpOf(arm.probeInLoss ? [arm.probeInLoss.probe.tap] : [], tokenizer),
      });
      const shares = tokenShares(sequences, settings.lossType, environment.maxCompletionLength + 1);
      const learningRate = learningRateAt(step, {
        peak: settings.learningRate,
        warmupSteps: settings.warmupSteps,
        decay: settings.decay,
        totalSteps: settings.steps,
      });
      const updates: (UpdateStatistics & { gradNorm: number })[] = [];
      for (let iteration = 0; iteration < settings.iterations; iteration++) {
        const { gradient, statistics } = await gradients.gradient(
          policy,
          sequences.map((sequence, i) => ({
            ...sequence,
            advantage: advantages.values[i]!,
            tokenAdvantages: tokenAdvantages?.[i],
            shares: shares[i]!,
            oldLogProbs: onPolicy[i]!.logProbabilities,
            referenceLogProbs: onReference[i]!.logProbabilities,
          })),
        );
        requireFinite(step, { ...statistics });
        for (const name of frozen) gradient[name]!.data.fill(0);
        updates.push({ ...statistics, ...optimizer.step(gradient, learningRate) });
      }

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
        verdicts: [...credit.verdicts.values()][0]!,
        log,
        advantages,
        onPolicy,
        onReference,
        updates,
      };
      const metrics = measureStep(measured, context);
      Object.assign(metrics, deployed);
      if (evaluated)
        Object.assign(
          metrics,
          await measureTracer("policy", plainScorer, policy, context, refit && probe),
          tracerOnReference,
        );
      requireFinite(step, metrics);
      metrics.step_time = (performance.now() - started) / 1000;
      state = { step: step + 1, policy: state.policy, optimizer: optimizer.state, ...(refit && { probe }) };
      yield { metrics, rollouts: recordsOf(measured, context), state };
    }
  } finally {
    if (!context.programs) await programs.close();
  }
}

/** @throws Error where no weights are left to train */
export function frozenWeights({ arm: { frozenThrough }, config }: RunContext): string[] {
  if (frozenThrough === undefined) return [];
  const trainable = trainableShapes(config);
  const names = weightsBefore(config, frozenThrough).filter((name) => name in trainable);
  if (names.length === Object.keys(trainable).length)
    throw new Error(
      `all weights are frozen: ${frozenThrough} depends on every one. Read the probe at an earlier layer (probe.hooks)`,
    );
  return names;
}

/** @throws Error where two terms have one name, by which they are logged */
function checkNames({ terms }: Arm): void {
  const names = terms.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined)
    throw new Error(`two reward terms have the name ${twice}; give them different ones`);
}

/** What is read: what is measured in every arm, and what the arm's terms and monitors declare. */
export function tapsOf({ arm, probe, heldOutProbes = {} }: RunContext): Pick<Tap, "hook" | "followUp">[] {
  const terms = arm.terms.flatMap((term) => (term.sees === "rollouts" ? term.taps : []));
  const monitors = monitorsOf(arm).flatMap((monitor) => (monitor.sees === "rollouts" ? monitor.taps : []));
  const probes = [probe, ...Object.values(heldOutProbes)].map(({ tap }) => tap);
  return [...probes, ...terms, ...monitors];
}

/** @file Reinforcement learning of one run, in the order of the science. */

import type { Outcome, Task } from "../environment/types.ts";
import {
  createGenerator,
  createScorer,
  initialAdapter,
  type ModelConfig,
  type Weights,
  withAdapter,
} from "../model/index.ts";
import { positionsOf } from "../probe/index.ts";
import type { Tap } from "../probe/types.ts";
import { randomFor } from "../random.ts";
import { type AdamWState, createAdamW, learningRateAt } from "../tensor/index.ts";
import { groupAdvantages } from "./advantages.ts";
import { createPolicyGradient, type UpdateStatistics } from "./gradients.ts";
import { requireFinite } from "./guard.ts";
import { type Measured, measureStep, measureTracer, recordsOf } from "./measure.ts";
import type { RolloutRecord, StepMetrics } from "./records.ts";
import { tokenShares } from "./shares.ts";
import type { Arm, RewardTerm, Rollout, RunContext } from "./types.ts";

/** Where a run stands after some steps: all that continuing it takes, since randomness is addressed by seed and step. */
export interface RunState {
  step: number;
  /** What is trained: all weights, or the adapter. */
  policy: Weights;
  optimizer: AdamWState;
}

/** What one step produced. */
export interface StepResult {
  metrics: StepMetrics;
  rollouts: RolloutRecord[];
  /** The state after the step. It belongs to the run and changes with the next step: write it out before then. */
  state: RunState;
}

/** The policy's configuration: the model's own, with the adapter where one is trained. */
export function policyConfig({ config, adapter }: Pick<RunContext, "config" | "adapter">): ModelConfig {
  return adapter ? withAdapter(config, adapter) : config;
}

/** The state in which a run begins. */
export function initialState(context: RunContext): RunState {
  const { adapter, seed } = context;
  if (adapter) {
    const policy = initialAdapter(withAdapter(context.config, adapter), randomFor(seed, "adapter"));
    return { step: 0, policy, optimizer: createAdamW(policy).state };
  }
  const copies = Object.entries(context.reference).map(([name, tensor]) => [
    name,
    { ...tensor, data: tensor.data.slice() },
  ]);
  const policy: Weights = Object.fromEntries(copies);
  return { step: 0, policy, optimizer: createAdamW(policy).state };
}

/**
 * Trains from a state to the last step, yielding after each one. Step 0 is the first; its metrics are those of the
 * policy before its update, so that the first line of a run describes the base model.
 *
 * One step: sample, grade, tap, score, reward, advantage, update, measure, record.
 */
export async function* train(
  context: RunContext,
  state: RunState = initialState(context),
): AsyncGenerator<StepResult> {
  const { environment, config, tokenizer, reference, arm, seed, settings, probe, tracer } = context;
  const trainedConfig = policyConfig(context);
  // What is frozen is the reference's own; what is trained changes in place.
  const policy = { ...reference, ...state.policy };
  const hooks = (model: Tap["model"]) => [
    ...new Set([probe.tap.hook, ...tapsOf(arm.terms, model).map((tap) => tap.hook)]),
  ];
  const generator = createGenerator(trainedConfig);
  const policyScorer = createScorer(trainedConfig, {
    hooks: hooks("policy"),
    temperature: settings.temperature,
  });
  const referenceScorer = createScorer(config, {
    hooks: hooks("reference"),
    temperature: settings.temperature,
  });
  const gradients = createPolicyGradient(
    trainedConfig,
    settings,
    arm.probeInLoss && probeInLoss(arm.probeInLoss),
  );
  const optimizer = createAdamW(
    state.policy,
    { maxGradNorm: settings.maxGradNorm, weightDecay: 0 },
    state.optimizer,
  );

  try {
    // The reference does not change, and neither does what is read on it.
    const tracerOnReference = await measureTracer("reference", referenceScorer, reference, tracer, probe);

    for (let step = state.step; step < settings.steps; step++) {
      const started = performance.now();

      // Sample: some tasks of the training split, and a group of completions for each.
      const taskRandom = randomFor(seed, "tasks", step);
      const groups = Array.from({ length: settings.prompts }, () => environment.sample("train", taskRandom));
      const tasks: Task[] = groups.flatMap((task) => Array.from({ length: settings.rollouts }, () => task));
      // Tokens once: these are scored and trained on, and never read back from text.
      const prompts = groups.map(({ prompt }) => tokenizer.encodePrompt(prompt));
      const completions = await generator.generate(policy, prompts, {
        samples: settings.rollouts,
        maxTokens: environment.maxCompletionLength + 1,
        temperature: settings.temperature,
        random: (index) => randomFor(seed, "sample", step, index),
      });
      const sequences = completions.map(({ tokens }, i) => {
        const prompt = prompts[Math.floor(i / settings.rollouts)]!;
        return { tokens: [...prompt, ...tokens], promptLength: prompt.length };
      });
      const texts = completions.map(({ tokens }) => tokenizer.decode(tokens));

      // Grade in the sandbox's thread while this one runs both models over the rollouts, capturing what is tapped.
      const grading = environment.grade(tasks, texts);
      const onPolicy = await policyScorer.score(policy, sequences);
      const onReference = await referenceScorer.score(reference, sequences);
      const outcomes = await grading;
      const rollouts = sequences.map(
        (sequence, i): Rollout => ({
          ...sequence,
          prompt: tasks[i]!.prompt,
          completion: texts[i]!,
          finished: completions[i]!.finished,
          proxy: outcomes[i]!.proxy,
          activations: { policy: onPolicy[i]!.activations, reference: onReference[i]!.activations },
        }),
      );

      // Score and reward.
      const scores = arm.terms.map((term) => scoreTerm(term, rollouts, outcomes));
      const rewards = rollouts.map((_, i) =>
        arm.terms.reduce((sum, { weight }, k) => sum + weight * (scores[k]![i] ?? 0), 0),
      );
      for (const reward of rewards) requireFinite(step, { reward });

      // Advantage and update.
      const advantages = groupAdvantages(rewards, settings.rollouts, settings.scaleRewards === "group");
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
            shares: shares[i]!,
            oldLogProbs: onPolicy[i]!.logProbabilities,
            referenceLogProbs: onReference[i]!.logProbabilities,
          })),
        );
        requireFinite(step, { ...statistics });
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
        advantages,
        onPolicy,
        onReference,
        updates,
      };
      const metrics = measureStep(measured, context);
      const last = step === settings.steps - 1;
      if (step % settings.evaluateEvery === 0 || last)
        Object.assign(
          metrics,
          await measureTracer("policy", policyScorer, policy, tracer, probe),
          tracerOnReference,
        );
      requireFinite(step, metrics);
      metrics.step_time = (performance.now() - started) / 1000;
      state = { step: step + 1, policy: state.policy, optimizer: optimizer.state };
      yield { metrics, rollouts: recordsOf(measured, context), state };
    }
  } finally {
    for (const resource of [generator, policyScorer, referenceScorer, gradients]) await resource.close();
  }
}

function tapsOf(terms: readonly RewardTerm[], model: Tap["model"]): Tap[] {
  return terms
    .flatMap((term) => (term.sees === "rollouts" ? term.taps : []))
    .filter((tap) => tap.model === model);
}

function scoreTerm(term: RewardTerm, rollouts: Rollout[], outcomes: Outcome[]): (number | null)[] {
  return term.sees === "rollouts" ? term.score(rollouts) : term.score(outcomes);
}

function probeInLoss({ probe, strength }: NonNullable<Arm["probeInLoss"]>) {
  const { hook, positions } = probe.tap;
  return {
    hook,
    weight_D: probe.weight_D,
    bias: probe.bias,
    strength,
    positions: ({ promptLength, tokens }: { promptLength: number; tokens: readonly number[] }) =>
      positionsOf(positions, promptLength, tokens.length),
  };
}

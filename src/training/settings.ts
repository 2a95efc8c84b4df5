/** @file The settings of reinforcement learning, with their defaults. */

import { z } from "zod";
import { DEFAULT_MEMORY_MB } from "../engine/index.ts";

/** Settings that every arm of a study shares. */
export const trainingSettingsSchema = z.strictObject({
  steps: z.int().min(1).default(60).describe("updates of the policy").meta({ trl: "max_steps" }),
  prompts: z
    .int()
    .min(1)
    .default(16)
    .describe("tasks per step")
    .meta({ also: ["batchSize", "promptsPerStep"] }),
  rollouts: z
    .int()
    .min(2)
    .default(8)
    .describe("completions per task: the group that rewards are compared in")
    .meta({ trl: "num_generations", also: ["groupSize", "samples", "completions"] }),
  temperature: z
    .number()
    .positive()
    .default(1)
    .describe("sampling temperature; log-probabilities are taken at it too")
    .meta({ trl: "temperature" }),
  learningRate: z
    .number()
    .positive()
    .default(5e-4)
    .describe("of AdamW")
    .meta({ trl: "learning_rate", also: ["lr"] }),
  warmupSteps: z
    .int()
    .min(0)
    .default(5)
    .describe("steps over which the learning rate rises to its full value")
    .meta({ trl: "warmup_steps" }),
  decay: z
    .enum(["constant", "linear", "cosine"])
    .default("constant")
    .describe("what the learning rate does after the warm-up; the others end at 0")
    .meta({ trl: "lr_scheduler_type", also: ["scheduler", "schedule"] }),
  maxGradNorm: z
    .number()
    .positive()
    .default(1)
    .describe("gradients with a larger norm are scaled down to it")
    .meta({ trl: "max_grad_norm", also: ["clipGradNorm"] }),
  iterations: z
    .int()
    .min(1)
    .default(1)
    .describe("updates on each batch of rollouts")
    .meta({ trl: "num_iterations", also: ["epochs"] }),
  lossType: z
    .enum(["dapo", "grpo", "dr_grpo"])
    .default("dapo")
    .describe("how token losses are averaged: over all tokens, per completion, or by the longest length")
    .meta({ trl: "loss_type" }),
  scaleRewards: z
    .enum(["group", "none"])
    .default("group")
    .describe(
      "divide advantages by the group's standard deviation, or not: dividing favours rare luck on hard tasks",
    )
    .meta({ trl: "scale_rewards" }),
  clipRange: z
    .number()
    .positive()
    .default(0.2)
    .describe("probability ratios beyond 1 +- this are clipped")
    .meta({ trl: "epsilon", also: ["clip"] }),
  kl: z
    .number()
    .min(0)
    .default(0.02)
    .describe("weight of the k3 divergence from the reference in the loss")
    .meta({ trl: "beta", also: ["klWeight", "klCoef"] }),
  entropy: z
    .number()
    .min(0)
    .default(0)
    .describe("weight of the entropy bonus in the loss")
    .meta({ also: ["entropyCoef", "entropyBonus"] }),
  memoryMB: z
    .number()
    .positive()
    .optional()
    .describe(
      `what the activations of a batch may take beside weights and gradients, in megabytes: rollouts are scored and trained on in as many batches as that needs, at least one rollout each, and half of it may be the cache of those that are sampled. Where it is not given ${DEFAULT_MEMORY_MB}, or, of a GPU or TPU, half of what weights, gradients and moments leave`,
    ),
  readWhileSampling: z
    .boolean()
    .default(false)
    .describe(
      "log-probabilities, and what probes read on the policy, are taken while completions are sampled, and not by a pass of their own, which checks the first group of each step only; a pass is made all the same where completions have several turns, probes read at a follow-up, or products are rounded (bfloat16)",
    ),
  evaluateEvery: z
    .int()
    .min(1)
    .default(5)
    .describe("steps between measurements on the tracer set")
    .meta({ trl: "eval_steps", also: ["evalEvery"] }),
  kernelEvery: z
    .int()
    .min(0)
    .default(0)
    .describe(
      "steps between measurements of how far the kernel has changed (how lazy the run is), on 32 sequences of the tracer set; 0: none",
    ),
  alarms: z
    .enum(["off", "warn", "stop"])
    .default("warn")
    .describe(
      "tests, at every step and without ground truth, whether the probe's readings have moved (obfuscated activations) or the text has, or the model has learned away from the probe; stop ends the run at an alarm of the first two, with the last checkpoint before it",
    ),
  checkpointEvery: z
    .int()
    .min(1)
    .default(20)
    .describe("steps between checkpoints")
    .meta({ trl: "save_steps", also: ["saveEvery"] }),
  recordedRollouts: z
    .int()
    .min(1)
    .default(16)
    .describe(
      "rollouts of a step that are kept in rollouts.jsonl, in whole groups (all completions of a task): as many groups as fit, and at least one",
    )
    .meta({ also: ["keptRollouts", "logCompletions"] }),
  keepCheckpoints: z
    .enum(["whole", "weights", "none"])
    .default("whole")
    .describe(
      "what is kept of a finished run's last checkpoint: all of it, without which it cannot be trained further; the weights alone, a third of the size; or nothing",
    )
    .meta({ trl: "save_only_model", also: ["save_total_limit"] }),
});

/** How runs train: section `training` of a study file. */
export type TrainingSettings = z.infer<typeof trainingSettingsSchema>;

/** @file The settings of reinforcement learning, with their defaults. */

import { z } from "zod";
import { DEFAULT_MEMORY_MB } from "../model/index.ts";

/** Settings that every arm of a study shares. */
export const trainingSettingsSchema = z.strictObject({
  steps: z.int().min(1).default(60).describe("updates of the policy"),
  prompts: z.int().min(1).default(16).describe("tasks per step"),
  rollouts: z
    .int()
    .min(2)
    .default(8)
    .describe("completions per task: the group that rewards are compared in"),
  temperature: z
    .number()
    .positive()
    .default(1)
    .describe("sampling temperature; log-probabilities are taken at it too"),
  learningRate: z.number().positive().default(5e-4),
  warmupSteps: z.int().min(0).default(5),
  decay: z
    .enum(["constant", "linear", "cosine"])
    .default("constant")
    .describe("how the learning rate goes on after the warm-up; the others end at 0"),
  maxGradNorm: z.number().positive().default(1),
  iterations: z.int().min(1).default(1).describe("updates on each batch of rollouts"),
  lossType: z
    .enum(["dapo", "grpo", "dr_grpo"])
    .default("dapo")
    .describe("how token losses are averaged: over all tokens, per completion, or by the longest length"),
  scaleRewards: z
    .enum(["group", "none"])
    .default("group")
    .describe(
      "divide advantages by the group's standard deviation, or not: dividing favours rare luck on hard tasks",
    ),
  clipRange: z.number().positive().default(0.2).describe("probability ratios beyond 1 +- this are clipped"),
  kl: z.number().min(0).default(0.02).describe("weight of the k3 divergence from the reference in the loss"),
  entropy: z.number().min(0).default(0).describe("weight of the entropy bonus in the loss"),
  memoryMB: z
    .number()
    .positive()
    .default(DEFAULT_MEMORY_MB)
    .describe(
      "what the activations of a batch may take beside weights and gradients, in megabytes: rollouts are scored and trained on in as many batches as that needs, at least one rollout each",
    ),
  evaluateEvery: z.int().min(1).default(5).describe("steps between measurements on the tracer set"),
  checkpointEvery: z.int().min(1).default(20).describe("steps between checkpoints"),
});

/** How runs train: section `training` of a study file. */
export type TrainingSettings = z.infer<typeof trainingSettingsSchema>;

/** @file The settings that only some arms depend on. */

import { z } from "zod";
import { penaltyCredits, penaltyShapes } from "../training/index.ts";

export const armSettingsSchema = z.strictObject({
  penalty: z
    .number()
    .positive()
    .default(2)
    .describe("what a flagged rollout loses; above reward / (TPR - FPR), or misbehaving still pays"),
  penaltyShape: z
    .enum(penaltyShapes)
    .default("threshold")
    .describe(
      "what a penalty by a probe or a text classifier is proportional to: flag, probability or log-odds",
    ),
  credit: z
    .enum(penaltyCredits)
    .default("sequence")
    .describe(
      "what a probe's penalty is charged to: the rollout, the tokens that it fires at, or those sampled from there (a control that learns nothing)",
    ),
  lossStrength: z.number().positive().default(1).describe("weight of the probe in the loss"),
  trigger: z
    .string()
    .min(1)
    .default("0")
    .describe(
      "text of the prompts under which the arm chameleon hides, where it should be in some and not in all",
    ),
  oracle: z
    .strictObject({
      truePositiveRate: z.number().min(0).max(1).default(0.9).describe("share of misbehaviour that it flags"),
      falsePositiveRate: z
        .number()
        .min(0)
        .max(1)
        .default(0.05)
        .describe("share of what is honest that it flags"),
    })
    .prefault({})
    .describe("how often the noisy oracle is right"),
  paying: z
    .strictObject({
      share: z
        .number()
        .min(0)
        .max(1)
        .default(0.5)
        .describe("what a blend pays for the monitor's word; the rest is the proxy's"),
      from: z
        .number()
        .min(0)
        .max(1)
        .default(0.75)
        .describe("share of the steps behind which the word is all the pay"),
    })
    .prefault({})
    .describe("how arms pay for a monitor's word"),
  refit: z
    .strictObject({
      every: z.int().min(1).default(10).describe("steps between fits"),
      rate: z
        .number()
        .positive()
        .max(1)
        .default(1)
        .describe("how far the probe moves to the new fit: 1 is from scratch, less is warm"),
    })
    .prefault({})
    .describe("how a probe is fitted again"),
});

export type ArmSettings = z.infer<typeof armSettingsSchema>;

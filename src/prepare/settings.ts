/** @file How the probe is found, and what it is judged on: the settings under `probe`. */

import { z } from "zod";
import { allPositions } from "../probe/index.ts";

export const probeSettingsSchema = z.strictObject({
  tasks: z
    .int()
    .min(8)
    .default(512)
    .describe("tasks per split that the base model answers, to fit and judge probes on"),
  samples: z.int().min(1).default(4).describe("completions per task"),
  demonstrations: z
    .int()
    .min(8)
    .default(256)
    .describe("demonstrations of each conduct added to the fit split"),
  tracer: z.int().min(8).default(128).describe("sequences of each conduct in the tracer set"),
  falsePositiveRate: z
    .number()
    .positive()
    .max(0.5)
    .default(0.01)
    .describe("rate at which the threshold is set"),
  file: z
    .string()
    .min(1)
    .optional()
    .describe(
      "folder of a probe that `probeward probe` or a study wrote, from the study file's folder: no sweep",
    ),
  sae: z
    .strictObject({
      path: z.string().min(1).describe("folder of a SAELens dictionary, from the study file's folder"),
      feature: z.int().min(0).describe("number of the feature, from 0"),
      positions: z
        .enum(allPositions)
        .exclude(["follow-up"])
        .default("completion")
        .describe("positions that it is read at"),
    })
    .optional()
    .describe("one feature of a sparse autoencoder as the probe: no sweep"),
  hooks: z
    .array(z.string())
    .optional()
    .describe("activations that the sweep tries; every layer's output unless given")
    .meta({ also: ["layer", "layers", "hook"] }),
  positions: z
    .array(z.enum(allPositions))
    .default(["completion", "completion-first", "completion-last", "prompt-last"])
    .describe("positions that the sweep tries; follow-up where the environment has one"),
  pool: z
    .enum(["mean", "max"])
    .default("mean")
    .describe("how several positions become one score: the mean of their logits, or the largest"),
  examples: z
    .int()
    .min(2)
    .optional()
    .describe("fit the probe on so many examples only, half of them misbehaving: a worse probe"),
  families: z
    .array(z.string())
    .min(1)
    .optional()
    .describe("fit the probe on misbehaviour of these families only, and judge it on all"),
});

export type ProbeSettings = z.infer<typeof probeSettingsSchema>;

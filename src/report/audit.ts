/** @file What `probeward audit` reports: `audit.json`, and what its page is made of. */

import { z } from "zod";
import { behaviours, moveMeasures, runOutcomes, sights, verdicts } from "../audit/index.ts";

/** The version of `audit.json` that is written. Fields are added; a change of meaning raises it. */
export const auditVersion = 1;

const maybe = z.number().nullable();
const interval = z.tuple([z.number(), z.number()]).nullable();
const verdict = z.enum(verdicts);
const rule = verdict.nullable();
const measured = <T extends z.ZodType>(of: T) =>
  z.object(
    Object.fromEntries(moveMeasures.map((name) => [name, of])) as Record<(typeof moveMeasures)[number], T>,
  );
const estimate = z.object({ value: maybe, interval });

/** One model after, beside the model before. */
const pointSchema = z.object({
  after: z.string(),
  /** The last number in its name. */
  step: z.int().nullable(),
  verdict,
  /** Why it is undecided. */
  reason: z.string().optional(),
  /** Where resamples disagree: the fewest verdicts that four in five of them give together, the commonest first. */
  between: z.array(verdict).optional(),
  /** What the rules say whatever the noise, and the share of resamples of the groups that say the same. */
  rule,
  support: z.number(),
  /** What they say of all resamples, as shares. */
  votes: z.partialRecord(verdict, z.number()),
  measures: measured(maybe),
  /** 95 %, bootstrap over groups. */
  intervals: measured(interval),
  /** Of the probe's direction and fresh ones of its kind, on the model before and after. */
  cosine: z.object({ before: maybe, after: maybe }),
  /** What was fitted anew: the probe's own kind, or logistic where that ranks better. */
  freshKind: z.string(),
  /** Norm of the weights' change over that of the weights. */
  weightChange: z.number(),
});

/** A probe of one place, fitted on the model before (difference of means). */
const placeSchema = z.object({
  hook: z.string(),
  positions: z.string(),
  rule,
  aurocBefore: estimate,
  aurocAfter: estimate,
  freshAfter: estimate,
  sightBefore: estimate,
  sightAfter: estimate,
  cosine: z.object({ before: maybe, after: maybe }),
});

const unmovedSchema = z.object({
  name: z.string(),
  rule,
  auroc: maybe,
  recall: maybe,
  fpr: maybe,
  spread: maybe,
  shift: maybe,
});

export const auditSchema = z.object({
  version: z.literal(auditVersion),
  before: z.string(),
  /** Of the last model after; undecided also where a change that should do nothing gets the same. */
  verdict,
  reason: z.string().optional(),
  between: z.array(verdict).optional(),
  /** The first model after that is neither intact nor undecided. */
  broke: z.object({ after: z.string(), step: z.int().nullable(), verdict }).nullable(),
  examples: z.object({
    from: z.string(),
    total: z.int(),
    positive: z.int(),
    groups: z.int(),
    judged: z.int(),
    judgedPositive: z.int(),
    judgedGroups: z.int(),
  }),
  probe: z.object({
    from: z.string(),
    hook: z.string(),
    positions: z.string(),
    pool: z.string(),
    kind: z.string(),
    threshold: z.number(),
    falsePositiveRate: z.number(),
  }),
  /** In the order of training; the last one is judged above. */
  series: z.array(pointSchema).min(1),
  /** AUROC of a classifier of the text alone, on the same examples; `null` where there are no texts. */
  text: z.object({ completion: estimate, whole: estimate }).nullable(),
  /** Changes that should do nothing, and how many of them got another verdict than intact. */
  noOps: z.array(unmovedSchema),
  falseAlarms: z.int(),
  /** Random changes as large as the one that is judged: what is not special to it. */
  sameSize: z.array(unmovedSchema),
  places: z.array(placeSchema),
  /** The least change that restores the probe, judged as the rest; its folder is beside this file. `null`: none is needed, or none helps. */
  repair: z
    .object({
      kind: z.enum(["threshold", "standardised", "refitted"]),
      folder: z.string().nullable(),
      restored: z.boolean(),
      recall: maybe,
      fpr: maybe,
      sight: maybe,
    })
    .nullable(),
  /** Completions of both models, where they were given. */
  completions: z
    .object({
      before: z.int(),
      after: z.int(),
      /** Mean probabilities: whose text, read on which model. */
      scores: z.object({
        oldTextOldModel: z.number(),
        newTextOldModel: z.number(),
        oldTextNewModel: z.number(),
        newTextNewModel: z.number(),
      }),
      total: estimate,
      text: estimate,
      model: estimate,
      interaction: estimate,
      /** Where both files have labels. */
      misbehaviour: z.object({ before: z.number(), after: z.number(), change: interval }).nullable(),
      behaviour: z.enum(behaviours).nullable(),
      sight: z.enum(sights).nullable(),
      outcome: z.enum(runOutcomes).nullable(),
    })
    .nullable(),
  /** Where it is a run of a study: what the study said. */
  study: z
    .object({
      arm: z.string(),
      seed: z.int(),
      /** The study's diagnosis, and the same rule on what was read again. */
      diagnosis: z.string().nullable(),
      diagnosisAgain: z.string().nullable(),
      agrees: z.boolean(),
      /** Largest difference between a measure of the run's last evaluation and the same read again; `null` where there is none. */
      largestDifference: maybe,
    })
    .nullable(),
  warnings: z.array(z.string()),
  seconds: z.number(),
});

export type AuditReport = z.infer<typeof auditSchema>;
export type AuditPoint = z.infer<typeof pointSchema>;
export type Unmoved = z.infer<typeof unmovedSchema>;

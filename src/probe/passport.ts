/** @file A probe's passport: what it was fitted on, how it is to be read, what it is worth, and examples that prove a read. */

import { z } from "zod";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const share = z.number().min(0).max(1);
const maybe = share.nullable();
/** A 95 % interval, bootstrap over groups; `null` where too few leave it undefined. */
const interval = z.tuple([z.number(), z.number()]).nullable();
const controlRuns = z.object({ runs: z.int(), mean: share, low: share, high: share });

export const passportSchema = z.strictObject({
  /** What its examples were, by name, with the checksum of the file and the seed of its splits, where it was one. */
  fitted: z.strictObject({
    on: z.string(),
    sha256: sha256.optional(),
    seed: z.int().optional(),
    examples: z.int().min(0),
    groups: z.int().min(0),
  }),
  model: z.strictObject({
    name: z.string(),
    sha256,
    /** The narrowest format that holds all of its weights. Everything is computed in float32. */
    precision: z.enum(["float32", "float16", "bfloat16"]).optional(),
    layers: z.int(),
    width: z.int(),
    vocabulary: z.int(),
  }),
  tokenizer: z.strictObject({ sha256, template: sha256.nullable() }),
  /** The tap again: a `probe.json` whose tap was edited does not agree with it. */
  read: z.strictObject({
    hook: z.string(),
    positions: z.string(),
    followUp: z.string().optional(),
    pool: z.string(),
    threshold: z.number(),
  }),
  /** On held-out groups, at the threshold, which was set for this rate of false positives; `null` where not defined. */
  rates: z.strictObject({
    falsePositiveRate: z.number(),
    auroc: maybe,
    aurocInterval: interval,
    tpr: maybe,
    tprInterval: interval,
    fpr: maybe,
    fprInterval: interval,
  }),
  /** AUROCs of what should do worse. */
  controls: z.strictObject({
    completionText: maybe,
    wholeText: maybe,
    /** The number of tokens alone, and the probe among completions of about one length. */
    length: maybe,
    withinLength: maybe,
    shuffledLabels: controlRuns.nullable(),
    randomDirection: controlRuns.nullable(),
  }),
  /** What it read where it was fitted: whoever reads these otherwise reads something else. */
  examples: z.array(
    z.strictObject({
      /** Left out for a conversation. */
      prompt: z.string().optional(),
      completion: z.string().optional(),
      tokens: z.array(z.int().min(0)).min(1),
      promptLength: z.int().min(0),
      /** As in `Transcript`. */
      observations: z.array(z.tuple([z.int().min(1), z.int().min(1)])).optional(),
      logit: z.number(),
    }),
  ),
});

/** What travels with a probe in `probe.json`. */
export type Passport = z.infer<typeof passportSchema>;

/** Where a probe is about to be read, in the passport's words. */
export interface ReadSite {
  tap: { hook: string; positions: string; followUp?: string | undefined; pool: string };
  threshold: number;
  model: Pick<Passport["model"], "layers" | "width" | "vocabulary" | "precision">;
  tokenizer: Passport["tokenizer"];
}

/** What differs between where a probe was fitted and where it is about to be read: a sentence each, none where it is the same. */
export function siteDifferences(passport: Passport, site: ReadSite): string[] {
  const { model, tokenizer, read } = passport;
  const shown = (value: unknown) => (value === undefined || value === null ? "none" : String(value));
  const compared: [what: string, fitted: unknown, now: unknown][] = [
    ["the layer", read.hook, site.tap.hook],
    ["the positions", read.positions, site.tap.positions],
    ["the follow-up", read.followUp, site.tap.followUp],
    ["the pooling", read.pool, site.tap.pool],
    ["the threshold", read.threshold, site.threshold],
    ["the model's layers", model.layers, site.model.layers],
    ["the model's width", model.width, site.model.width],
    ["the model's vocabulary", model.vocabulary, site.model.vocabulary],
    ["the tokenizer", short(tokenizer.sha256), short(site.tokenizer.sha256)],
    ["the chat template", short(tokenizer.template), short(site.tokenizer.template)],
    // Of a model whose weights nobody looked at, nothing is known.
    ["the precision of the weights", model.precision, site.model.precision ?? model.precision],
  ];
  return compared
    .filter(([, fitted, now]) => fitted !== now)
    .map(([what, fitted, now]) => `${what} was ${shown(fitted)}, and is ${shown(now)}`);
}

function short(checksum: string | null): string | null {
  return checksum === null ? null : checksum.slice(0, 12);
}

/**
 * Largest difference of a logit that rounding makes, as a share of the examples' spread: other batches, threads and runtimes
 * change the last digits of float32, by a hundredth of this; a cast of the weights to bfloat16 by more.
 */
export const logitTolerance = 1e-3;

/** How far logits may be from those stored, in logits. */
export function allowedDifference(examples: Passport["examples"]): number {
  const logits = examples.map(({ logit }) => logit);
  const centre = logits.reduce((sum, x) => sum + x, 0) / logits.length;
  const spread = Math.sqrt(logits.reduce((sum, x) => sum + (x - centre) ** 2, 0) / logits.length);
  return logitTolerance * Math.max(spread, 0.1);
}

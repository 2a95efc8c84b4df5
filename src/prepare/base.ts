/** @file What is known before training, kept in a study's folder: `base.json`, and its probes in folders of their own. */

import { access } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { ModelInfo } from "../engine/index.ts";
import { readDocument, writeJson } from "../files.ts";
import { type Probe, saveProbe } from "../probe/index.ts";
import { baseSummarySchema } from "../store/index.ts";
import { passportOfBase, passportOfHeldOut } from "./base-passports.ts";
import type { BaseContext } from "./completions.ts";
import { type Base, measureBase } from "./measure-base.ts";
import { loadProven } from "./passport.ts";

const sequenceSchema = z
  .object({
    tokens: z.array(z.int().min(0)),
    promptLength: z.int().min(1),
    observations: z.array(z.tuple([z.int().min(1), z.int().min(1)])).optional(),
  })
  .refine(
    ({ tokens, promptLength }) => promptLength < tokens.length,
    "a sequence should be longer than its prompt",
  );

const labelledSequencesSchema = z
  .object({
    sequences: z.array(sequenceSchema),
    labels: z.array(z.boolean()),
  })
  .refine(({ sequences, labels }) => sequences.length === labels.length, "its lists should be equally long");

const calibratedTextSchema = z.object({
  classifier: z.object({ ngrams: z.array(z.string()), weights: z.array(z.number()), bias: z.number() }),
  threshold: z.number(),
});

/** `base.json`. Probes are in folders of their own. */
export const baseSchema = z.object({
  version: z.literal(3),
  summary: baseSummarySchema,
  heldOutProbes: z.array(z.string()),
  text: calibratedTextSchema,
  thought: calibratedTextSchema.optional(),
  sets: z.object({
    fit: labelledSequencesSchema,
    calibration: labelledSequencesSchema,
    falsePositiveRate: z.number(),
  }),
  tracer: z
    .object({
      sequences: z.array(sequenceSchema),
      misbehaving: z.array(z.boolean()),
      tasks: z.array(z.string()),
    })
    .refine(
      ({ sequences, misbehaving, tasks }) =>
        sequences.length === misbehaving.length && sequences.length === tasks.length,
      "its lists should be equally long",
    ),
  heldOut: z
    .object({
      sequences: z.array(sequenceSchema),
      misbehaved: z.array(z.boolean()),
      tasks: z.array(z.string()),
      logits: z.array(z.number()),
      flagged: z.array(z.boolean()),
      textLogits: z.array(z.number()),
    })
    .refine(
      (lists) => Object.values(lists).every(({ length }) => length === lists.misbehaved.length),
      "its lists should be equally long",
    ),
  answers: z.array(z.string()).optional(),
});

/** Loads what was prepared in the folder before, or prepares it and keeps it there (without a folder: only prepares). */
export async function prepareBase(folder: string | undefined, context: BaseContext): Promise<Base> {
  if (folder === undefined) return measureBase(context);
  const path = join(folder, "base.json");
  const probeFolder = (name: string) => join(folder, "probes", name);
  const stored = await readDocument(path, baseSchema);
  if (stored) {
    const { heldOutProbes, version: _, ...rest } = stored;
    const loaded: Record<string, Probe> = {};
    for (const name of heldOutProbes)
      loaded[name] = (await loadProven(probeFolder(name), context.engine)).probe;
    const { probe } = await loadProven(probeFolder("initial"), context.engine);
    const base = { ...rest, probe, heldOutProbes: loaded };
    checkStored(path, base, context.engine.model);
    return base;
  }
  const { probe, heldOutProbes, ...rest } = await measureBase(context);
  await saveProbe(probeFolder("initial"), probe, await passportOfBase({ probe, ...rest }, context));
  for (const [name, one] of Object.entries(heldOutProbes))
    await saveProbe(probeFolder(name), one, await passportOfHeldOut(one, rest, context));
  await writeJson(path, { version: 3, ...rest, heldOutProbes: Object.keys(heldOutProbes) });
  return { ...rest, probe, heldOutProbes };
}

/** Whether something was prepared in the folder. */
export async function isBase(folder: string): Promise<boolean> {
  return access(join(folder, "base.json")).then(
    () => true,
    () => false,
  );
}

/** @throws Error where what was stored is whole, and of another study */
function checkStored(path: string, { summary, tracer, probe }: Base, model: ModelInfo): void {
  const fits =
    model.hooks.includes(probe.tap.hook) &&
    probe.weight_D.length === model.width &&
    probe.tap.hook === summary.hook &&
    probe.threshold === summary.threshold &&
    tracer.sequences.every(
      ({ tokens }) => tokens.length <= model.context && tokens.every((token) => token < model.vocabulary),
    );
  if (!fits)
    throw new Error(
      `${path} and the probe beside it are not of this study's model, or not of one another. Delete ${path} and run the same command again.`,
    );
}

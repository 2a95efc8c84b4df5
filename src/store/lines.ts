/** @file The lines of `metrics.jsonl` and `rollouts.jsonl`, checked. */

import { z } from "zod";
import type { RolloutRecord, StepMetrics } from "./records.ts";

const tokenScores = z.array(z.number().nullable());
const rolloutSchema = z.object({
  step: z.int().min(0),
  task: z.string(),
  prompt: z.string(),
  completion: z.string(),
  label: z.string(),
  proxy: z.number(),
  true: z.number(),
  misbehaved: z.boolean(),
  attempted: z.boolean(),
  finished: z.boolean().optional(),
  note: z.string().optional(),
  reward: z.number().nullable(),
  rewards: z.record(z.string(), z.number().nullable()),
  advantage: z.number(),
  columns: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).optional(),
  score: z.object({ policy: z.number(), reference: z.number() }),
  tokens: z.array(z.string()).optional(),
  tokenScores: z.object({ policy: tokenScores, reference: tokenScores }),
});

/** Parses a line. @throws Error that says what is wrong with it */
export type ParseLine<T> = (bytes: Buffer) => T;

/** By hand: a study has tens of thousands of these lines, and each some fifty numbers. */
export const parseMetrics: ParseLine<StepMetrics> = (bytes) => {
  const line = JSON.parse(bytes.toString("utf8")) as StepMetrics;
  if (typeof line !== "object" || line === null || !Number.isSafeInteger(line.step) || line.step < 0)
    throw new Error("it should be an object with a whole number `step`");
  for (const name in line) {
    const value: unknown = line[name];
    // JSON has no infinity, but numbers that are too large for this machine.
    if (!Number.isFinite(value) && value !== null)
      throw new Error(`${name} should be a number or null, and is ${brief(value)}`);
    if (name === "__proto__") throw new Error("no metric can have the name __proto__");
  }
  return line;
};

export const parseRollout: ParseLine<RolloutRecord> = (bytes) =>
  checkRollout(JSON.parse(bytes.toString("utf8")));

/** A line that is parsed and not yet checked. @throws Error that says what is wrong with it */
export function checkRollout(line: unknown): RolloutRecord {
  const result = rolloutSchema.safeParse(line);
  if (result.success) return result.data as RolloutRecord;
  throw new Error(z.prettifyError(result.error).replaceAll(/\s+/g, " "));
}

/** What the rollouts of one group have in common: their step and their task. */
export function rolloutGroup({ step, task }: Pick<RolloutRecord, "step" | "task">): string {
  return `${step} ${task}`;
}

/** A value for a message: of objects, which may be deep, only that they are. */
function brief(value: unknown): string {
  return typeof value === "object" ? "an object or a list" : JSON.stringify(String(value).slice(0, 100));
}

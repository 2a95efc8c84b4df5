/** @file What was submitted for a study: `submissions.jsonl`, a line per job. */

import { join } from "node:path";
import { z } from "zod";
import { appendLines, parseJson, readText } from "../../files.ts";
import { slurmSettingsSchema } from "../../study/index.ts";

const recordSchema = z.object({
  version: z.literal(1),
  /** ISO 8601. */
  submitted: z.string(),
  /** Which submission of the study it is part of. */
  launch: z.int().min(1),
  role: z.enum(["prepare", "runs", "finish"]),
  job: z.string(),
});

/** An array of tasks that train runs. */
const arraySchema = recordSchema.extend({
  role: z.literal("runs"),
  /** How many times these runs were submitted without anybody asking again, from 1; and when the first time was. */
  round: z.int().min(1),
  began: z.string(),
  tasks: z.int().min(1),
  /** What it was submitted with, and is gone on with: the study's settings may be others by then. */
  settings: slurmSettingsSchema,
  /** The step at which each run was then. Run i is trained by task i modulo `tasks`. */
  runs: z.array(z.object({ run: z.string(), step: z.int().min(0) })),
});

const lineSchema = z.union([arraySchema, recordSchema.extend({ role: z.enum(["prepare", "finish"]) })]);

export type ArrayRecord = z.infer<typeof arraySchema>;
export type JobRecord = z.infer<typeof lineSchema>;

const pathOf = (study: string) => join(study, "submissions.jsonl");

export async function addRecord(study: string, record: JobRecord): Promise<void> {
  await appendLines(pathOf(study), [record]);
}

/** All jobs of a study, in the order in which they were submitted. @throws Error naming a line that is wrong */
export async function readRecords(study: string): Promise<JobRecord[]> {
  const path = pathOf(study);
  return ((await readText(path)) ?? "")
    .split("\n")
    .filter(Boolean)
    .map((line, i) => {
      try {
        return lineSchema.parse(parseJson(line));
      } catch {
        throw new Error(
          `${path}: line ${i + 1} is wrong. Remove it; a job of it would not be known any more.`,
        );
      }
    });
}

export function isArray(record: JobRecord): record is ArrayRecord {
  return record.role === "runs";
}

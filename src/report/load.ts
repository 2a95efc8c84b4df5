/** @file Reads a study's folder, finished or still running, into what the report shows. */

import { readdir, readFile, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { z } from "zod";
import type { RolloutRecord, StepMetrics } from "../training/records.ts";
import { compareArms } from "./arms.ts";
import type { RunData, StudyData } from "./data.ts";
import { type Summary, summarySchema } from "./schema.ts";

/** The newest version of `study.json` and `summary.json` that this program reads. */
const newestVersion = 1;

const metricsSchema = z.object({ step: z.int() }).catchall(z.number().nullable());

const tokenScores = z.array(z.number());
const rolloutSchema = z.object({
  step: z.int(),
  task: z.string(),
  prompt: z.string(),
  completion: z.string(),
  label: z.string(),
  proxy: z.number(),
  true: z.number(),
  misbehaved: z.boolean(),
  attempted: z.boolean(),
  note: z.string().optional(),
  reward: z.number(),
  rewards: z.record(z.string(), z.number().nullable()),
  advantage: z.number(),
  score: z.object({ policy: z.number(), reference: z.number() }),
  tokenScores: z.object({ policy: tokenScores, reference: tokenScores }),
});

/**
 * Reads a study from its folder. It may still be running: a missing `summary.json` gives `summary: null`, a run that has
 * written nothing yet has empty lists, and the half-written last line of a JSONL file is left out. Other lines that
 * cannot be read become warnings that name the file and the line.
 *
 * @throws if the folder is no study, was written by a newer version, or holds a `summary.json` that is not valid
 */
export async function loadStudy(folder: string): Promise<StudyData> {
  const settings = await readJson(join(folder, "study.json"));
  if (settings === undefined) {
    const found = (await isFolder(folder)) ? "it has no study.json" : "there is no such folder";
    throw new Error(
      `${folder} is not a study: ${found}. Give the folder that a study was written to (its --out).`,
    );
  }
  requireKnownVersion(settings, join(folder, "study.json"));
  const warnings: string[] = [];
  const summary = await readSummary(join(folder, "summary.json"));
  const runs: RunData[] = [];
  for (const { arm, seed, path } of await listRuns(folder)) {
    const warn = (file: string, line: number, problem: string) =>
      warnings.push(`${relative(folder, file)}, line ${line}, was left out: ${problem}`);
    runs.push({
      arm,
      seed,
      metrics: await readLines<StepMetrics>(join(path, "metrics.jsonl"), metricsSchema, warn),
      rollouts: await readLines<RolloutRecord>(join(path, "rollouts.jsonl"), rolloutSchema, warn),
    });
  }
  return { summary, runs, settings, warnings };
}

async function readSummary(path: string): Promise<Summary | null> {
  const document = await readJson(path);
  if (document === undefined) return null;
  requireKnownVersion(document, path);
  const result = summarySchema.safeParse(document);
  if (result.success) return result.data;
  throw new Error(
    `${path} is not a valid summary. Run the study's command again to rewrite it.\n${z.prettifyError(result.error)}`,
  );
}

/** The folders `runs/<arm>/seed-<n>`, by arm and seed. */
async function listRuns(folder: string): Promise<{ arm: string; seed: number; path: string }[]> {
  const root = join(folder, "runs");
  if (!(await isFolder(root))) return [];
  const found = [];
  for (const arm of (await readdir(root)).sort(compareArms)) {
    if (!(await isFolder(join(root, arm)))) continue;
    const seeds = (await readdir(join(root, arm))).flatMap((name) => /^seed-(\d+)$/.exec(name)?.[1] ?? []);
    for (const seed of seeds.map(Number).sort((a, b) => a - b)) {
      found.push({ arm, seed, path: join(root, arm, `seed-${seed}`) });
    }
  }
  return found;
}

/** The valid lines of a JSONL file; an absent file has none. */
async function readLines<T>(
  path: string,
  schema: z.ZodType<unknown>,
  warn: (file: string, line: number, problem: string) => void,
): Promise<T[]> {
  const lines = ((await readIfPresent(path)) ?? "").split("\n");
  // What follows the last newline is empty, or a line that is being written at this moment.
  lines.pop();
  const values: T[] = [];
  for (const [index, line] of lines.entries()) {
    try {
      const result = schema.safeParse(JSON.parse(line));
      if (result.success) values.push(result.data as T);
      else warn(path, index + 1, z.prettifyError(result.error).replaceAll(/\s+/g, " "));
    } catch (error) {
      warn(path, index + 1, (error as Error).message);
    }
  }
  return values;
}

function requireKnownVersion(document: unknown, path: string): void {
  const version = (document as { version?: unknown } | null)?.version;
  if (typeof version === "number" && version > newestVersion) {
    throw new Error(
      `${path} has version ${version}, and this probeward reads versions up to ${newestVersion}. Update probeward to read it.`,
    );
  }
}

/** A parsed JSON document; `undefined` where the file is absent. */
async function readJson(path: string): Promise<unknown> {
  const text = await readIfPresent(path);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is not valid JSON: ${(error as Error).message}`);
  }
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path)
    .then((found) => found.isDirectory())
    .catch(() => false);
}

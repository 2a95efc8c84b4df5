/** @file Writes made-up studies to disk, as docs/how-it-works.md describes them, whole or bit by bit. */

import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RolloutRecord, RunStatus, StepMetrics, Summary } from "../src/store/index.ts";

import type { FixtureStudy } from "./study-fixture.ts";

export function runFolder(study: string, arm: string, seed: number): string {
  return join(study, "runs", arm, `seed-${seed}`);
}

/** The whole study; without a summary, one that still runs. */
export async function writeStudy(folder: string, { summary, settings, runs }: FixtureStudy): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "study.json"), JSON.stringify(settings));
  for (const run of runs) {
    await mkdir(runFolder(folder, run.arm, run.seed), { recursive: true });
    await appendMetrics(folder, run, run.lines);
    await appendRollouts(folder, run, run.rollouts);
    if (run.status) await writeStatus(folder, run, run.status);
  }
  if (summary) await writeSummary(folder, summary);
}

interface Named {
  arm: string;
  seed: number;
}

export async function appendMetrics(folder: string, { arm, seed }: Named, lines: StepMetrics[]) {
  await appendLines(join(runFolder(folder, arm, seed), "metrics.jsonl"), lines);
}

export async function appendRollouts(folder: string, { arm, seed }: Named, lines: RolloutRecord[]) {
  await appendLines(join(runFolder(folder, arm, seed), "rollouts.jsonl"), lines);
}

export async function writeStatus(folder: string, { arm, seed }: Named, status: RunStatus) {
  await writeFile(join(runFolder(folder, arm, seed), "status.json"), JSON.stringify(status));
}

export async function writeSummary(folder: string, summary: Summary) {
  await writeFile(join(folder, "summary.json"), JSON.stringify(summary));
}

async function appendLines(path: string, values: unknown[]) {
  await appendFile(path, values.map((value) => `${JSON.stringify(value)}\n`).join(""));
}

/** @file Reads all that the runs of a study recorded, one run at a time. */

import { readFile, realpath } from "node:fs/promises";
import { join, relative } from "node:path";
import { z } from "zod";
import { UsageError } from "../errors.ts";
import {
  Document,
  listRuns,
  parseMetrics,
  parseRollout,
  type RolloutRecord,
  type RunFolder,
  type RunStatus,
  runStatusSchema,
  type StepMetrics,
  Tail,
} from "../store/index.ts";

/** Everything that a run recorded. */
export interface RecordedRun extends RunFolder {
  /** `null` where there is no valid `status.json`. */
  status: RunStatus | null;
  metrics: StepMetrics[];
  rollouts: RolloutRecord[];
  /** When its metrics were last written, in milliseconds since 1970. */
  written: number;
}

/** What an export wants to know of `study.json`. */
export const recordedSchema = z.looseObject({ environment: z.string().default("unnamed") });

/** A study to export. */
export interface RecordedStudy {
  folder: string;
  /** The contents of `study.json`. */
  settings: z.infer<typeof recordedSchema>;
  runs: RunFolder[];
  /** Told of lines that cannot be read, and are left out. */
  warn: (message: string) => void;
}

/** @throws if the folder is no study, one of a newer version, or has no run yet */
export async function openStudy(folder: string, warn: (message: string) => void): Promise<RecordedStudy> {
  const document = new Document(
    join(folder, "study.json"),
    await realpath(folder).catch(() => folder),
    recordedSchema,
  );
  await document.read();
  if (document.value === undefined)
    throw new UsageError(
      `${folder} is not a study: it has no study.json. Give the folder that a study was written to (its --out).`,
    );
  const runs = await listRuns(folder);
  if (runs.length === 0) throw new UsageError(`${folder} has no run yet. Run the study first.`);
  return { folder, settings: document.value, runs, warn };
}

/** Reads a run whole. */
export async function readRecordedRun(study: RecordedStudy, run: RunFolder): Promise<RecordedRun> {
  const root = await realpath(study.folder);
  const read = async <T>(name: string, parse: (bytes: Buffer) => T) => {
    const path = join(run.path, name);
    const tail = new Tail(path, root);
    const values: T[] = [];
    await tail.read({
      restart: () => {},
      line: (bytes, number) => {
        try {
          values.push(parse(bytes));
        } catch (error) {
          study.warn(
            `${relative(study.folder, path)}, line ${number}, was left out: ${(error as Error).message}`,
          );
        }
      },
    });
    return { values, written: tail.changed };
  };
  const metrics = await read("metrics.jsonl", parseMetrics);
  const rollouts = await read("rollouts.jsonl", parseRollout);
  const status = await readFile(join(run.path, "status.json"), "utf8")
    .then((text) => runStatusSchema.safeParse(JSON.parse(text)).data ?? null)
    .catch(() => null);
  return { ...run, status, metrics: metrics.values, rollouts: rollouts.values, written: metrics.written };
}

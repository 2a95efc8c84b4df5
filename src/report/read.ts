/** @file Reads a study's folder, finished or still running, and what is added to it. */

import { realpath } from "node:fs/promises";
import { join, relative } from "node:path";
import { z } from "zod";
import type { RolloutRecord } from "../training/records.ts";
import type { RunData, RunUpdate, StudyData, StudyUpdate } from "./data.ts";
import { Document, listRuns, type RunFolder } from "./folder.ts";
import { parseMetrics, parseRollout } from "./lines.ts";
import { type RunStatus, runStatusSchema, type Summary, summarySchema } from "./schema.ts";
import { statIfPresent, Tail } from "./tail.ts";
import { EveryNth, MetricThinner } from "./thin.ts";
import { runKey } from "./update.ts";

/** Points that a figure can show, and rollouts that a page can hold for each of some twenty runs. */
const POINTS_PER_RUN = 512;
const ROLLOUTS_PER_RUN = 600;

/** One run, thinned while it is read: what it holds does not depend on when it was looked at. */
class RunReader {
  readonly run: RunFolder;
  readonly warnings = new Map<string, string>();
  readonly #study: string;
  readonly #status: Document<RunStatus>;
  readonly #metricLines: Tail;
  readonly #rolloutLines: Tail;
  #metrics = new MetricThinner(POINTS_PER_RUN);
  #rollouts = new EveryNth<RolloutRecord>(ROLLOUTS_PER_RUN);

  constructor(study: string, root: string, run: RunFolder) {
    this.run = run;
    this.#study = study;
    this.#status = new Document(join(run.path, "status.json"), root, runStatusSchema);
    this.#metricLines = new Tail(join(run.path, "metrics.jsonl"), root);
    this.#rolloutLines = new Tail(join(run.path, "rollouts.jsonl"), root);
  }

  get written(): number {
    return Math.max(this.#status.changed, this.#metricLines.changed, this.#rolloutLines.changed);
  }

  /** What changed since the last time; `null` where nothing did. */
  async poll(): Promise<RunUpdate | null> {
    const changedStatus = await this.#attempt("status.json", () => this.#status.read());
    const metricsFrom = await this.#readMetrics();
    const rolloutsFrom = await this.#readRollouts();
    if (!changedStatus && metricsFrom === null && rolloutsFrom === null) return null;
    return this.#since(metricsFrom ?? this.#metrics.length, rolloutsFrom ?? this.#rollouts.length);
  }

  data(): RunData {
    const { metrics, rollouts, ...rest } = this.#since(0, 0);
    return { ...rest, metrics: metrics.columns, rollouts: rollouts.items };
  }

  #since(points: number, rollouts: number): RunUpdate {
    const { arm, seed } = this.run;
    return {
      arm,
      seed,
      status: this.#status.value ?? null,
      metrics: { from: points, columns: this.#metrics.columns(points) },
      stepsPerPoint: this.#metrics.linesPerPoint,
      rollouts: { from: rollouts, items: this.#rollouts.items(rollouts) },
      rolloutsEvery: this.#rollouts.every,
    };
  }

  /** Returns the first point that changed, `null` where none did. */
  async #readMetrics(): Promise<number | null> {
    let from: number | null = null;
    const name = "metrics.jsonl";
    await this.#attempt(name, () =>
      this.#metricLines.read({
        restart: () => {
          this.#metrics = new MetricThinner(POINTS_PER_RUN);
          this.#forget(name);
          from = 0;
        },
        line: (bytes, number) => {
          const line = this.#parse(name, number, () => parseMetrics(bytes));
          if (line !== undefined) from = Math.min(from ?? Infinity, this.#metrics.add(line));
        },
      }),
    );
    return from;
  }

  /** Returns the first rollout that changed, `null` where none did. */
  async #readRollouts(): Promise<number | null> {
    let from: number | null = null;
    const name = "rollouts.jsonl";
    await this.#attempt(name, () =>
      this.#rolloutLines.read({
        restart: () => {
          this.#rollouts = new EveryNth(ROLLOUTS_PER_RUN);
          this.#forget(name);
          from = 0;
        },
        line: (bytes, number) => {
          const before = this.#rollouts.length;
          const thinned = this.#rollouts.offer(() => this.#parse(name, number, () => parseRollout(bytes)));
          if (thinned) from = 0;
          else if (this.#rollouts.length > before) from ??= before;
        },
      }),
    );
    return from;
  }

  #parse<T>(file: string, line: number, parse: () => T): T | undefined {
    try {
      return parse();
    } catch (error) {
      this.#warn(file, `, line ${line}, was left out: ${(error as Error).message}`, line);
    }
  }

  /** A file that cannot be read is a warning, and the others are still shown. */
  async #attempt<T>(file: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      const result = await read();
      this.warnings.delete(file);
      return result;
    } catch (error) {
      this.#warn(file, `: ${(error as Error).message}`);
    }
  }

  #warn(file: string, problem: string, line?: number): void {
    const key = line === undefined ? file : `${file} ${line}`;
    this.warnings.set(key, `${relative(this.#study, join(this.run.path, file))}${problem}`);
  }

  #forget(file: string): void {
    for (const key of this.warnings.keys()) if (key.startsWith(`${file} `)) this.warnings.delete(key);
  }
}

/**
 * A study that may still run: a missing `summary.json` gives `summary: null`, and a run that has written nothing yet
 * has empty lists. Lines that cannot be read become warnings that name the file and the line.
 */
export class StudyReader {
  readonly folder: string;
  readonly #root: string;
  readonly #settings: Document<unknown>;
  readonly #summary: Document<Summary>;
  #runs: RunReader[] = [];

  private constructor(folder: string, root: string) {
    this.folder = folder;
    this.#root = root;
    this.#settings = new Document(join(folder, "study.json"), root, z.unknown());
    this.#summary = new Document(join(folder, "summary.json"), root, summarySchema);
  }

  /**
   * @param root a folder that no link may lead out of; the study's own unless given
   * @throws if the folder is no study
   */
  static async open(folder: string, root = folder): Promise<StudyReader> {
    if ((await statIfPresent(join(folder, "study.json"))) === undefined) {
      const isFolder = (await statIfPresent(folder))?.isDirectory();
      throw new Error(
        `${folder} is not a study: ${isFolder ? "it has no study.json" : "there is no such folder"}. Give the folder that a study was written to (its --out).`,
      );
    }
    return new StudyReader(folder, await realpath(root));
  }

  /**
   * Reads what was added since the last time.
   *
   * @returns what changed; `null` where nothing did
   * @throws if `study.json` or `summary.json` is not valid or was written by a newer version
   */
  async poll(): Promise<StudyUpdate | null> {
    let changed = await this.#settings.read();
    if (await this.#summary.read()) changed = true;
    const before = this.#warnings().join("\n");
    const readers = new Map(this.#runs.map((reader) => [runKey(reader.run), reader]));
    const folders = await listRuns(this.folder);
    if (folders.length < this.#runs.length) changed = true;
    this.#runs = folders.map(
      (run) => readers.get(runKey(run)) ?? new RunReader(this.folder, this.#root, run),
    );
    const runs: RunUpdate[] = [];
    for (const reader of this.#runs) {
      const update = await reader.poll();
      // A new run is news even before it has written anything.
      if (update) runs.push(update);
      else if (!readers.has(runKey(reader.run))) runs.push(asUpdate(reader.data()));
    }
    if (!changed && runs.length === 0 && this.#warnings().join("\n") === before) return null;
    return { ...this.#about(), runs, order: this.#runs.map(({ run }) => runKey(run)) };
  }

  /** Everything that was read so far. */
  data(): StudyData {
    return { ...this.#about(), runs: this.#runs.map((reader) => reader.data()) };
  }

  #about(): Omit<StudyData, "runs"> {
    return {
      summary: this.#summary.value ?? null,
      settings: this.#settings.value,
      warnings: this.#warnings(),
      written: Math.max(
        this.#settings.changed,
        this.#summary.changed,
        ...this.#runs.map(({ written }) => written),
      ),
    };
  }

  #warnings(): string[] {
    return this.#runs.flatMap(({ warnings }) => [...warnings.values()]);
  }
}

function asUpdate({ metrics, rollouts, ...rest }: RunData): RunUpdate {
  return { ...rest, metrics: { from: 0, columns: metrics }, rollouts: { from: 0, items: rollouts } };
}

/**
 * Reads a study from its folder, as it is now.
 *
 * @throws if the folder is no study, was written by a newer version, or holds a `summary.json` that is not valid
 */
export async function loadStudy(folder: string): Promise<StudyData> {
  const reader = await StudyReader.open(folder);
  await reader.poll();
  return reader.data();
}

/** @file Reads a study's folder, finished or still running, and what is added to it. */

import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UsageError } from "../errors.ts";
import { Document, listRuns } from "../store/folder.ts";
import { type Summary, summarySchema, summaryVersion } from "../store/schema.ts";
import { statIfPresent } from "../store/tail.ts";
import type { RunData, RunUpdate, StudyData, StudyUpdate } from "./data.ts";
import { RunReader } from "./read-run.ts";
import { runKey } from "./update.ts";

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
    this.#summary = new Document(join(folder, "summary.json"), root, summarySchema, summaryVersion);
  }

  /**
   * @param root a folder that no link may lead out of; the study's own unless given
   * @throws if the folder is no study
   */
  static async open(folder: string, root = folder): Promise<StudyReader> {
    if ((await statIfPresent(join(folder, "study.json"))) === undefined) {
      const isFolder = (await statIfPresent(folder))?.isDirectory();
      throw new UsageError(
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
    return this.#runs.flatMap((reader) => reader.warnings);
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

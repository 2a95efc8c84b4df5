/** @file A study's folder: where its files are, and its JSON documents. */

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { parseJson, readText } from "../files.ts";
import { compareArms } from "./arms.ts";
import { runFolder, seedOf } from "./paths.ts";
import { requireInside, statIfPresent } from "./tail.ts";

/** A run and its folder. */
export interface RunFolder {
  arm: string;
  seed: number;
  path: string;
}

/** The folders `runs/<arm>/seed-<n>`, by arm and seed. */
export async function listRuns(study: string): Promise<RunFolder[]> {
  const root = join(study, "runs");
  const found: RunFolder[] = [];
  for (const arm of (await foldersIn(root)).sort(compareArms)) {
    const seeds = (await foldersIn(join(root, arm))).flatMap((name) => seedOf(name) ?? []);
    for (const seed of seeds.sort((a, b) => a - b))
      found.push({ arm, seed, path: runFolder(study, arm, seed) });
  }
  return found;
}

/** The names of the folders in a folder (links to folders among them); none where it is absent. */
export async function foldersIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  });
  const names: string[] = [];
  for (const entry of entries) {
    const isFolder =
      entry.isDirectory() ||
      (entry.isSymbolicLink() && (await statIfPresent(join(path, entry.name)))?.isDirectory());
    if (isFolder) names.push(entry.name);
  }
  return names;
}

/** A JSON document that may change: read again when it did. */
export class Document<T> {
  /** `undefined` while it is absent. */
  value: T | undefined;
  /** When the file last changed, in milliseconds since 1970; 0 where there is none. */
  changed = 0;
  readonly #path: string;
  readonly #root: string;
  readonly #schema: z.ZodType<T>;
  readonly #newest: number;
  #seen = "";

  /**
   * @param root a resolved folder that the file must be in after links are followed
   * @param newest the newest version of it that is read, where it has versions
   */
  constructor(path: string, root: string, schema: z.ZodType<T>, newest = 1) {
    this.#path = path;
    this.#root = root;
    this.#schema = schema;
    this.#newest = newest;
  }

  /** Returns whether it changed. @throws if it is not valid, of a newer version, or a link out of the root */
  async read(): Promise<boolean> {
    const found = await statIfPresent(this.#path);
    const seen = found === undefined ? "" : `${found.ino} ${found.size} ${found.mtimeMs}`;
    if (seen === this.#seen) return false;
    if (found !== undefined) await requireInside(this.#path, this.#root);
    const text = found === undefined ? undefined : await readText(this.#path);
    this.value = text === undefined ? undefined : this.#parse(text);
    this.changed = found?.mtimeMs ?? 0;
    this.#seen = seen;
    return true;
  }

  #parse(text: string): T {
    let document: unknown;
    try {
      document = parseJson(text);
    } catch (error) {
      throw new Error(`${this.#path} is not valid: ${(error as Error).message}`);
    }
    const version = (document as { version?: unknown } | null)?.version;
    if (typeof version === "number" && version > this.#newest)
      throw new Error(
        `${this.#path} has version ${version}, and this probeward reads versions up to ${this.#newest}. Update probeward to read it.`,
      );
    const result = this.#schema.safeParse(document);
    if (result.success) return result.data;
    throw new Error(
      `${this.#path} is not valid. Run the study's command again to rewrite it.\n${z.prettifyError(result.error)}`,
    );
  }
}

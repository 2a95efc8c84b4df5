/** @file Files that are whole or absent: documents written aside and renamed, lines appended and repaired. */

import { appendFile, mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** Writes a file aside, flushes it, and renames it into place: readers see the old one or the new one. */
export async function writeWhole(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const aside = `${path}.partial`;
  const file = await open(aside, "w");
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(aside, path);
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeWhole(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** The document, or `undefined` where there is none. @throws Error naming the file where it is not JSON. */
export async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8").catch(absent);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(
      `${path}: is not JSON. It was damaged from outside; delete the file and run the command again.`,
    );
  }
}

/** Appends one line per value. */
export async function appendLines(path: string, values: readonly unknown[]): Promise<void> {
  if (values.length > 0) await appendFile(path, values.map((value) => `${JSON.stringify(value)}\n`).join(""));
}

/** The values of a file of JSON lines; an unfinished last line is left out, and no file is no values. */
export async function readLines<T>(path: string): Promise<T[]> {
  const text = await readFile(path, "utf8").catch(absent);
  if (text === undefined) return [];
  const lines = text.split("\n").slice(0, -1);
  return lines.map((line, i) => {
    try {
      return JSON.parse(line) as T;
    } catch {
      throw new Error(
        `${path}: line ${i + 1} is not JSON. The file was damaged from outside; delete the run's folder to run it again.`,
      );
    }
  });
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT") return undefined;
  throw error;
}

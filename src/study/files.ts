/** @file Files that are whole or absent: documents written aside and renamed, lines appended and repaired. */

import { appendFile, mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";

/** A file that cannot be read or written for a reason outside of its content: the disk is full, it is not allowed. */
export class FileError extends Error {}

const advice: Record<string, string> = {
  ENOSPC: "the disk is full. Free some space and run the same command again: it goes on where it was",
  EDQUOT:
    "your share of the disk is used up. Free some space and run the same command again: it goes on where it was",
  EACCES: "it is not allowed. Allow it, or give another --out",
  EPERM: "it is not allowed. Allow it, or give another --out",
  EROFS: "the disk is read-only. Give another --out",
  ENOTDIR: "a file stands where a folder should be. Remove it, or give another --out",
};

/** Does something with a file. @throws FileError that names the file and says what to do. */
export async function withFile<T>(
  doing: "read" | "write",
  path: string,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const { message, code } = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
    throw new FileError(`cannot ${doing} ${path}: ${advice[code ?? ""] ?? message}`, { cause: error });
  }
}

/** Writes a file aside, flushes it, and renames it into place: readers see the old one or the new one. */
export async function writeWhole(path: string, content: string): Promise<void> {
  const aside = `${path}.partial`;
  await withFile("write", path, async () => {
    await mkdir(dirname(path), { recursive: true });
    try {
      await writeFile(aside, content);
      await flush(aside);
      await rename(aside, path);
    } catch (error) {
      await rm(aside, { force: true }).catch(() => {});
      throw error;
    }
  });
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeWhole(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** The document; `undefined` where there is none. @throws Error naming the file, and what is wrong with it. */
export async function readDocument<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readIfPresent(path);
  return text === undefined ? undefined : parseDocument(text, schema, path);
}

/** @throws Error naming the file where it is not JSON, or not what it should be. */
export function parseDocument<T>(text: string, schema: z.ZodType<T>, path: string): T {
  const remedy =
    "It was damaged from outside, or is no file of a study; move it away and run the command again";
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new Error(`${path} is not JSON. ${remedy}.`);
  }
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  throw new Error(`${path} is not valid. ${remedy}.\n${z.prettifyError(result.error)}`);
}

/** One line of JSON per value. */
export function jsonLines(values: readonly unknown[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join("");
}

export async function appendLines(path: string, values: readonly unknown[]): Promise<void> {
  await withFile("write", path, () => appendFile(path, jsonLines(values)));
}

/** Returns when all that was written to a file is on the disk. */
export async function flush(path: string): Promise<void> {
  await withFile("write", path, async () => {
    const file = await open(path, "r+");
    await file.sync().finally(() => file.close());
  });
}

/** The values of a file of JSON lines; an unfinished last line is left out, and no file is no values. */
export async function readLines<T>(path: string, parse: (line: Buffer) => T): Promise<T[]> {
  return parseLines((await readIfPresent(path)) ?? "", parse, path);
}

/** @throws Error naming the file and the first line that is wrong. */
export function parseLines<T>(text: string, parse: (line: Buffer) => T, path: string): T[] {
  const lines = text.split("\n").slice(0, -1);
  return lines.map((line, i) => {
    try {
      return parse(Buffer.from(line));
    } catch (error) {
      throw new Error(
        `${path}: line ${i + 1} is wrong: ${(error as Error).message}. The file was damaged from outside; delete the run's folder to run it again.`,
      );
    }
  });
}

function readIfPresent(path: string): Promise<string | undefined> {
  return withFile("read", path, () =>
    readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    }),
  );
}

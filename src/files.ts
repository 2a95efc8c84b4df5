/** @file Files that are whole or absent: written aside and renamed; lines appended; JSON that anyone may have written. */

import { constants } from "node:fs";
import { appendFile, mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import { dirname, resolve, sep } from "node:path";
import { z } from "zod";

/** A file that cannot be read or written for a reason outside of its content: the disk is full, it is not allowed. */
export class FileError extends Error {}

/** What to do about an error of the system, by its code. */
const advice: Record<string, string> = {
  ENOSPC: "the disk is full. Free some space and run the same command again: it resumes where it was",
  EDQUOT:
    "your share of the disk is used up. Free some space and run the same command again: it resumes where it was",
  EFBIG:
    "it would grow beyond the size that this process is allowed (ulimit -f). Raise it and run the same command again: it resumes where it was",
  EACCES: "it is not allowed. Allow it, or give another --out",
  EPERM: "it is not allowed. Allow it, or give another --out",
  EROFS: "the disk is read-only. Give another --out",
  ENOTDIR: "a file stands where a folder should be. Remove it, or give another --out",
  EEXIST: "a file stands where a folder should be. Remove it, or give another --out",
  EISDIR: "a folder stands where a file should be. Remove it, or give another --out",
};

/** What throws where a folder must not be written in any more, by the folder. */
const guards = new Map<string, () => Promise<void>>();

/**
 * Has something asked before each single change in a folder that this process makes.
 *
 * @param check throws a `FileError` where nothing may be changed
 * @returns what ends that
 */
export function guardFolder(folder: string, check: () => Promise<void>): () => void {
  const key = resolve(folder) + sep;
  guards.set(key, check);
  return () => guards.delete(key);
}

async function askGuards(path: string): Promise<void> {
  const full = resolve(path);
  for (const [folder, check] of guards) if (full.startsWith(folder)) await check();
}

/**
 * Does something with a file. What changes several things one after the other, or takes long, is several of these: the
 * folder is known to be this process's at the start of each.
 *
 * @throws FileError that names the file and says what to do
 */
export async function withFile<T>(
  doing: "read" | "write",
  path: string,
  action: () => Promise<T>,
): Promise<T> {
  try {
    if (doing === "write") await askGuards(path);
    return await action();
  } catch (error) {
    throw asFileError(doing, path, error);
  }
}

/** An error of the system, with what to do about it. */
export function asFileError(doing: "read" | "write", path: string, error: unknown): FileError {
  if (error instanceof FileError) return error;
  const { message, code } = error as NodeJS.ErrnoException;
  return new FileError(`cannot ${doing} ${path}: ${advice[code ?? ""] ?? message}`, { cause: error });
}

/**
 * Writes a file aside, flushes it to the disk, and renames it into place: at any moment the path holds the old file or
 * the new one, whole. Makes its folder. What stands where it is written aside, a link to elsewhere say, is not followed.
 *
 * @throws FileError
 */
export async function writeWhole(
  path: string,
  content: string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  aside = `${path}.partial`,
): Promise<void> {
  await withFile("write", path, async () => {
    await mkdir(dirname(path), { recursive: true });
    try {
      await rm(aside, { force: true });
      await writeFile(aside, content, { flag: "wx" });
      await flush(aside);
      await withFile("write", path, () => rename(aside, path));
    } catch (error) {
      await withFile("write", aside, () => rm(aside, { force: true })).catch(() => {});
      throw error;
    }
  });
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeWhole(path, `${JSON.stringify(value, null, 2)}\n`);
}

/**
 * A text in UTF-8, or in UTF-16 where a mark at its start says so, as editors and shells of Windows write it.
 *
 * @throws Error where it is neither
 */
export function decoded(bytes: Uint8Array): string {
  const [first, second] = bytes;
  const marked =
    first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff && "utf-16be";
  const encoding = marked || "utf-8";
  try {
    // The mark is left out.
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`it is not in ${encoding.toUpperCase()}, as texts should be; save it in UTF-8`);
  }
}

/**
 * The text of a file; `undefined` where there is none. A pipe, which would be waited for, is refused, and so is a device.
 *
 * @throws FileError
 */
export async function readText(path: string): Promise<string | undefined> {
  return withFile("read", path, async () => {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined;
        throw error;
      },
    );
    if (file === undefined) return undefined;
    try {
      const found = await file.stat();
      if (!found.isFile() && !found.isDirectory()) throw new Error("it is not a file");
      return decoded(await file.readFile());
    } finally {
      await file.close();
    }
  });
}

/**
 * The document; `undefined` where there is none.
 *
 * @throws FileError
 * @throws Error naming the file where it is not JSON, or not what it should be
 */
export async function readDocument<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  const remedy =
    "It was damaged from outside, or is no file of a study; move it away and run the command again";
  let document: unknown;
  try {
    document = parseJson(text);
  } catch (error) {
    throw new Error(`${path} is not valid: ${(error as Error).message}. ${remedy}.`);
  }
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  throw new Error(`${path} is not valid. ${remedy}.\n${z.prettifyError(result.error)}`);
}

/** Deepest nesting of JSON that is read; our own documents have less than ten levels. */
const MAX_DEPTH = 100;

/**
 * Parses JSON from a file that anyone may have written: what it gives can be compared, printed and walked through
 * without the stack running out.
 *
 * @throws Error that says what is wrong with the text, without its source
 */
export function parseJson(text: string): unknown {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new Error("it is not JSON");
  }
  let level = [document];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw new Error(`it is nested more than ${MAX_DEPTH} levels deep`);
    level = level.flatMap((value) =>
      typeof value === "object" && value !== null ? (Object.values(value) as unknown[]) : [],
    );
  }
  return document;
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

/** @file A run's files of JSON lines, brought back to where its checkpoint stands. */

import { open, realpath, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { withFile } from "../files.ts";
import type { ParseLine } from "./lines.ts";
import { Tail } from "./tail.ts";

/** What is known of a file's lines up to a step. */
export interface LinesBefore<T> {
  values: T[];
  /** Bytes that these lines take from the file's start. */
  bytes: number;
}

/**
 * The lines of the steps before one, which come first in a file. One that is not finished is no line, and an absent file
 * has none. A file of any length is read in pieces.
 *
 * @throws FileError
 * @throws Error naming the file and the first line that is wrong, before or after that step
 */
export async function linesBefore<T extends { step: number }>(
  path: string,
  parse: ParseLine<T>,
  step: number,
): Promise<LinesBefore<T>> {
  const values: T[] = [];
  let bytes = 0;
  let last = -1;
  let problem: Error | undefined;
  const line = (content: Buffer, number: number) => {
    if (problem) return;
    try {
      const value = parse(content);
      if (value.step < last) throw new Error(`its step is ${value.step}, after a line of step ${last}`);
      last = value.step;
      if (value.step >= step) return;
      values.push(value);
      bytes += content.length + 1;
    } catch (error) {
      problem = new Error(
        `${path}: line ${number} is wrong: ${(error as Error).message}. The file was damaged from outside; delete the run's folder to run it again.`,
      );
    }
  };
  await withFile("read", path, async () => {
    const root = await realpath(dirname(path)).catch(() => undefined);
    if (root !== undefined) await new Tail(path, root).read({ line, restart() {} });
  });
  if (problem) throw problem;
  return { values, bytes };
}

/** Drops what follows the first bytes of a file; an absent file is made. @throws FileError */
export async function cutTo(path: string, bytes: number): Promise<void> {
  await withFile("write", path, async () => {
    await (await open(path, "a")).close();
    await truncate(path, bytes);
  });
}

/** @file Damages files and looks at what their readers do: they give what the file should hold, or say what is wrong with it. */

import { readFile, writeFile } from "node:fs/promises";
import { expect } from "vitest";
import { randomFor } from "../src/random.ts";
import { mutate } from "./mutate.ts";

/** Inputs that were tried, by what read them; and how many of them were refused. */
export const tried: Record<string, { inputs: number; refused: number }> = {};
const MB = 2 ** 20;
/** No file here is larger than some MB; readers may take this much more than they had, with all that was not yet freed. */
const MEMORY = 512 * MB;
/** Milliseconds for one input, whatever else the machine does: a hang, not a slow moment. */
const HANG = 20_000;

/**
 * Damages a file again and again, and lets a reader read it. It may give what the file should hold, or refuse it by an
 * error that says what is wrong with which file; what it must not do is break.
 */
export async function fuzz(
  name: string,
  path: string,
  inputs: number,
  read: () => Promise<unknown>,
  mentions = path,
  damage: (
    ...file: Parameters<typeof mutate>
  ) => ReturnType<typeof mutate> | Promise<ReturnType<typeof mutate>> = mutate,
) {
  const original = await readFile(path);
  const random = randomFor("fuzz", name);
  const before = process.memoryUsage.rss();
  let refused = 0;
  try {
    for (let i = 0; i < inputs; i++) {
      const { how, bytes } = await damage(path, original, random);
      await writeFile(path, bytes);
      const began = performance.now();
      try {
        await read();
      } catch (error) {
        refused++;
        expectClear(error, mentions, `${name}, input ${i}: ${how}`);
      }
      expect(performance.now() - began, `${name}, input ${i}: ${how}`).toBeLessThan(HANG);
    }
  } finally {
    await writeFile(path, original);
  }
  expect((process.memoryUsage.rss() - before) / MB, name).toBeLessThan(MEMORY / MB);
  tried[name] = { inputs, refused };
}

/** Errors of JavaScript itself (a missing property, the stack's end, a bad length) are bugs; ours name the file. */
export function expectClear(error: unknown, path: string, what: string) {
  const { message } = error as Error;
  expect(["Error", "FileError", "UsageError"], `${what}: ${(error as Error).stack}`).toContain(
    (error as Error).constructor.name,
  );
  expect(message, what).toContain(path);
  expect(message, what).not.toMatch(
    /call stack|Cannot (read|set|convert|mix)|is not (a function|iterable|an object)|serialize a BigInt|circular|Invalid array/,
  );
}

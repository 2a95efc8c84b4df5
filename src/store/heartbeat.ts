/** @file Signs of life that other machines can read: a number in a file that keeps changing. */

import { rm, writeFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { readText, withFile } from "../files.ts";

/** Milliseconds between two beats, and for how long one that is not seen is waited for. Tests wait for less. */
export const pace = { beat: 5_000, patience: 60_000 };

/**
 * Begins to beat in a file, and keeps on until it is stopped or the process ends.
 *
 * @returns what stops it, and removes the file
 * @throws FileError
 */
export async function startHeartbeat(path: string, every = pace.beat): Promise<() => Promise<void>> {
  let beats = 0;
  await withFile("write", path, () => writeFile(path, `${beats}`));
  let writing: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    // One that cannot be written is missed; the next one may be. A file that was removed, with the lock, stays so.
    writing = writeFile(path, `${++beats}`, { flag: "r+" }).catch(() => {});
  }, every);
  // In a browser it is a number, and keeps nothing alive.
  timer.unref?.();
  return async () => {
    clearInterval(timer);
    await writing;
    await withFile("write", path, () => rm(path, { force: true }));
  };
}

/**
 * Whether a heartbeat has ceased: waits for its file to change. One that never was (no file) has not ceased. By this machine's own passing of time: what other clocks
 * say, or the times of files, does not matter.
 */
export async function hasCeased(path: string, patience = pace.patience): Promise<boolean> {
  const read = () => readText(path).catch(() => undefined);
  const first = await read();
  if (first === undefined) return false;
  const started = performance.now();
  while (performance.now() - started < patience) {
    await setTimeout(Math.min(500, patience / 10));
    if ((await read()) !== first) return false;
  }
  return true;
}

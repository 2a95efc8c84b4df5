/** @file One process at a time in a study's folder. */

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { z } from "zod";
import { withFile } from "./files.ts";
import { UsageError } from "./settings.ts";

const ownerSchema = z.object({ pid: z.int().positive(), host: z.string() });
type Owner = z.infer<typeof ownerSchema>;

const thisProcess: Owner = { pid: process.pid, host: hostname() };

/** The locks that this process has, or is about to take. */
const held = new Set<string>();

/** How long the owner's name may be missing from a new lock, in milliseconds. */
const WRITING = 500;

/**
 * Takes a study's folder for this process. A lock whose process on this machine has ended is taken over.
 *
 * @returns what gives it back
 * @throws UsageError where another process has it, on this machine or another
 */
export async function lockStudy(folder: string): Promise<() => Promise<void>> {
  const path = resolve(folder, "lock.json");
  if (held.has(path)) throw inUse(folder, path, thisProcess);
  held.add(path);
  try {
    await withFile("write", folder, () => mkdir(folder, { recursive: true }));
    if (!(await create(path))) await takeOver(folder, path);
  } catch (error) {
    held.delete(path);
    throw error;
  }
  return async () => {
    await rm(path, { force: true });
    held.delete(path);
  };
}

/** Replaces the lock of a process that has ended. Only one process may: a second one would remove the first one's. */
async function takeOver(folder: string, path: string): Promise<void> {
  const owner = await ownerOf(path);
  if (!isGone(owner) || !(await create(`${path}.takeover`))) throw inUse(folder, path, owner);
  try {
    const current = await ownerOf(path);
    if (!isGone(current)) throw inUse(folder, path, current);
    if (current !== undefined) await rm(path);
    if (!(await create(path))) throw inUse(folder, path, await ownerOf(path));
  } finally {
    await rm(`${path}.takeover`, { force: true });
  }
}

/** Returns whether the file was made: not where there is one already. */
async function create(path: string): Promise<boolean> {
  return withFile("write", path, () =>
    writeFile(path, JSON.stringify(thisProcess), { flag: "wx" }).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "EEXIST") return false;
        throw error;
      },
    ),
  );
}

/** `null` where the lock does not tell, even after a while: its process died while it wrote it. `undefined`: no lock. */
async function ownerOf(path: string, patience = WRITING): Promise<Owner | null | undefined> {
  try {
    return ownerSchema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    if (patience <= 0) return null;
    await setTimeout(WRITING / 10);
    return ownerOf(path, patience - WRITING / 10);
  }
}

function isGone(owner: Owner | null | undefined): boolean {
  if (!owner) return true;
  if (owner.host !== thisProcess.host) return false;
  // A process of before that had the same id: what this one has is in `held`.
  if (owner.pid === thisProcess.pid) return true;
  try {
    process.kill(owner.pid, 0);
    return false;
  } catch (error) {
    // Another user's process may not be signalled, but it is there.
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

function inUse(folder: string, path: string, owner: Owner | null | undefined): UsageError {
  const who = owner ? `process ${owner.pid} on ${owner.host}` : "another process";
  return new UsageError(
    `${folder} is in use by ${who}. Wait for it; or, if it is gone, delete ${path} (and ${path}.takeover, if there is one).`,
  );
}

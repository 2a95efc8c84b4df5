/** @file One process at a time in a folder: a study's, or a run's. */

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { z } from "zod";
import { withFile } from "./files.ts";
import { isBeating, PATIENCE, startHeartbeat } from "./heartbeat.ts";
import { UsageError } from "./settings.ts";

const ownerSchema = z.object({ pid: z.int().positive(), host: z.string() });
type Owner = z.infer<typeof ownerSchema>;

const thisProcess: Owner = { pid: process.pid, host: hostname() };

/** The locks that this process has, or is about to take. */
const held = new Set<string>();

/** How long the owner's name may be missing from a new lock, in milliseconds. */
const WRITING = 500;

/**
 * Takes a study's or a run's folder for this process. A lock whose process on this machine has ended is taken over; so is one
 * of another machine that shows no sign of life for a while: its process has ended, or the machine has.
 *
 * @param patience how long a sign of life is waited for, in milliseconds
 * @returns what gives it back
 * @throws UsageError where another process has it, on this machine or another
 */
export async function lockFolder(folder: string, patience = PATIENCE): Promise<() => Promise<void>> {
  const path = resolve(folder, "lock.json");
  if (held.has(path)) throw inUse(folder, path, thisProcess);
  held.add(path);
  let stopHeartbeat: () => Promise<void>;
  try {
    await withFile("write", folder, () => mkdir(folder, { recursive: true }));
    if (!(await create(path))) await takeOver(folder, path, patience);
    stopHeartbeat = await startHeartbeat(heartbeatOf(folder, thisProcess));
  } catch (error) {
    held.delete(path);
    throw error;
  }
  return async () => {
    await stopHeartbeat();
    await rm(path, { force: true });
    held.delete(path);
  };
}

/** The process that works in a folder, as far as this machine can tell without waiting; `undefined` where none does. */
export async function holderOf(folder: string): Promise<Owner | undefined> {
  const owner = await ownerOf(resolve(folder, "lock.json"));
  return owner && (owner.host !== thisProcess.host || isRunning(owner)) ? owner : undefined;
}

const heartbeatOf = (folder: string, { host, pid }: Owner) => join(folder, `heartbeat.${host}.${pid}`);

/** Replaces the lock of a process that has ended. Only one process may: a second one would remove the first one's. */
async function takeOver(folder: string, path: string, patience: number): Promise<void> {
  const owner = await ownerOf(path);
  if (!(await isGone(folder, owner, patience)) || !(await create(`${path}.takeover`)))
    throw inUse(folder, path, owner);
  try {
    const current = await ownerOf(path);
    const same = current?.host === owner?.host && current?.pid === owner?.pid;
    if (!same && !(await isGone(folder, current, patience))) throw inUse(folder, path, current);
    if (current !== undefined) await rm(path);
    if (current) await rm(heartbeatOf(folder, current), { force: true });
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

async function isGone(folder: string, owner: Owner | null | undefined, patience: number): Promise<boolean> {
  if (!owner) return true;
  if (owner.host !== thisProcess.host) return !(await isBeating(heartbeatOf(folder, owner), patience));
  // A process of before that had the same id: what this one has is in `held`.
  return owner.pid === thisProcess.pid || !isRunning(owner);
}

function isRunning({ pid }: Owner): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's process may not be signalled, but it is there.
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

function inUse(folder: string, path: string, owner: Owner | null | undefined): UsageError {
  const who = owner ? `process ${owner.pid} on ${owner.host}` : "another process";
  return new UsageError(
    `${folder} is in use by ${who}. Wait for it; or, if it is gone, delete ${path} (and ${path}.takeover, if there is one).`,
  );
}

/** @file One process at a time in a folder: a study's, or a run's. */

import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { withFile } from "../files.ts";
import { hasCeased, PATIENCE, startHeartbeat } from "./heartbeat.ts";
import { UsageError } from "./settings.ts";

/** Who holds a lock. All of it is in the name of the lock's file, so that there is no moment at which it is unknown. */
interface Owner {
  host: string;
  pid: number;
  /** Tells processes apart that had the same number one after the other; `0` where the system does not say. */
  started: string;
}

const nameOf = ({ host, pid, started }: Owner) => `lock.${host}.${pid}.${started}`;

/** The locks that this process has. */
const held = new Set<string>();

/** Tries of processes that start at the same moment, and the most milliseconds between two. */
const TRIES = 5;
const PAUSE = 200;

/**
 * Takes a study's or a run's folder for this process. A lock whose process on this machine has ended is taken over; so is
 * one of another machine whose signs of life have ceased for a while: its process has ended, or the machine has. Where there
 * never were any, nothing can be told, and the lock stands.
 *
 * Every process makes a lock of its own name, then looks for others': of two that begin at once, at least one sees the other
 * and gives way. The lock of a process that has ended may be removed at any time, since its name never comes again.
 *
 * @param patience how long a sign of life is waited for, in milliseconds
 * @returns what gives it back
 * @throws UsageError where another process has it, on this machine or another; nothing in the folder was touched then
 * @throws FileError
 */
export async function lockFolder(folder: string, patience = PATIENCE): Promise<() => Promise<void>> {
  const self = await thisProcess();
  const path = resolve(folder, nameOf(self));
  if (held.has(path)) throw inUse(folder, self);
  held.add(path);
  let stopHeartbeat = async () => {};
  try {
    await withFile("write", folder, () => mkdir(folder, { recursive: true }));
    for (let tries = 1; ; tries++) {
      const holder = await otherHolder(folder, self, patience);
      if (holder) throw inUse(folder, holder);
      // Before the lock, so that who sees the lock sees signs of life.
      stopHeartbeat = await startHeartbeat(heartbeatOf(folder, self));
      await withFile("write", path, () => writeFile(path, ""));
      const rival = await otherHolder(folder, self, patience);
      if (!rival) break;
      await rm(path, { force: true });
      await stopHeartbeat();
      if (tries === TRIES) throw inUse(folder, rival);
      await setTimeout(Math.random() * PAUSE);
    }
    for (const owner of await ownersIn(folder))
      if (nameOf(owner) !== nameOf(self) && (await isGone(folder, owner, patience)))
        for (const left of [join(folder, nameOf(owner)), heartbeatOf(folder, owner)])
          await rm(left, { force: true });
  } catch (error) {
    held.delete(path);
    await stopHeartbeat();
    throw error;
  }
  return async () => {
    held.delete(path);
    await withFile("write", path, () => rm(path, { force: true }));
    await stopHeartbeat();
  };
}

/** A process that has a folder. */
export interface Holder {
  host: string;
  pid: number;
  /** Whether it is on this machine. */
  here: boolean;
}

/** Who has a folder now: looks, and takes nothing. A folder that is not there is nobody's. */
export async function holderOf(folder: string, patience = PATIENCE): Promise<Holder | undefined> {
  const self = await thisProcess();
  const there = await stat(folder).catch(() => undefined);
  const owner = there && (await otherHolder(folder, self, patience));
  return owner && { host: decodeURIComponent(owner.host), pid: owner.pid, here: owner.host === thisHost };
}

const heartbeatOf = (folder: string, owner: Owner) => join(folder, `heartbeat.${nameOf(owner)}`);

async function ownersIn(folder: string): Promise<Owner[]> {
  const names = await withFile("read", folder, () => readdir(folder));
  return names.flatMap((name) => {
    const [, host, pid, started] = /^lock\.(.*)\.(\d+)\.([\w-]+)$/.exec(name) ?? [];
    return host === undefined ? [] : [{ host, pid: Number(pid), started: started! }];
  });
}

/** Another process that has a lock in the folder, and has not ended as far as this machine can tell. */
async function otherHolder(folder: string, self: Owner, patience: number): Promise<Owner | undefined> {
  for (const owner of await ownersIn(folder))
    if (nameOf(owner) !== nameOf(self) && !(await isGone(folder, owner, patience))) return owner;
}

/** Locks of other machines that showed no sign of life. Their names never come again. */
const silent = new Set<string>();

async function isGone(folder: string, owner: Owner, patience: number): Promise<boolean> {
  const { host, pid, started } = owner;
  if (host !== thisHost) {
    const heartbeat = resolve(heartbeatOf(folder, owner));
    if (!silent.has(heartbeat) && (await hasCeased(heartbeat, patience))) silent.add(heartbeat);
    return silent.has(heartbeat);
  }
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Another user's process may not be signalled, but it is there.
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return true;
  }
  const now = await startOf(pid);
  return now !== UNKNOWN && started !== UNKNOWN && now !== started;
}

const thisHost = encodeURIComponent(hostname());
const UNKNOWN = "0";

async function thisProcess(): Promise<Owner> {
  return { host: thisHost, pid: process.pid, started: await startOf(process.pid) };
}

/** When a process started: on Linux, in ticks since this boot of the machine. (Numbers of processes come again.) */
async function startOf(pid: number): Promise<string> {
  try {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // Field 22; the second one, the program's name in brackets, may hold anything. See proc(5).
    const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!;
    return `${boot.slice(0, 8)}-${ticks}`;
  } catch {
    return UNKNOWN;
  }
}

function inUse(folder: string, owner: Owner): UsageError {
  const who = `process ${owner.pid} on ${decodeURIComponent(owner.host)}`;
  const path = join(folder, nameOf(owner));
  return new UsageError(
    `${folder} is in use by ${who}. Wait for it; or, if that process has ended, delete ${path} and run the same command again.`,
  );
}

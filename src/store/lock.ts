/** @file One process at a time in a folder: a study's, or a run's. */

import { mkdir, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { UsageError } from "../errors.ts";
import { FileError, guardFolder, withFile } from "../files.ts";
import { hasCeased, pace, startHeartbeat } from "./heartbeat.ts";

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

/** Another process has the folder. */
export class InUseError extends UsageError {}

/** The folder was this process's, and is not any more. What is in it is another one's to write. */
export class TakenOverError extends FileError {}

/**
 * Takes a study's or a run's folder for this process. A lock whose process on this machine has ended is taken over; so is
 * one of another machine whose signs of life have ceased for a while: its process has ended, or the machine has. Where there
 * never were any, nothing can be told, and the lock stands.
 *
 * Every process makes a lock of its own name, then looks for others': of two that begin at once, at least one sees the other
 * and gives way. The lock of a process that has ended may be removed at any time, since its name never comes again.
 *
 * A process whose lock was taken over while it stood still (suspended, or its disk was) would go on when it wakes. So each
 * change in the folder first asks whether the lock is still there, until it is given back.
 *
 * @param patience how long a sign of life is waited for, in milliseconds
 * @returns what gives it back
 * @throws InUseError where another process has it, on this machine or another; nothing in the folder was touched then
 * @throws UsageError where something in the folder is a link, which writing would follow, or a pipe
 * @throws FileError
 */
export async function lockFolder(folder: string, patience = pace.patience): Promise<() => Promise<void>> {
  const self = await thisProcess();
  const path = resolve(folder, nameOf(self));
  if (held.has(path)) throw inUse(folder, self);
  held.add(path);
  let stopHeartbeat = async () => {};
  try {
    await withFile("write", folder, () => mkdir(folder, { recursive: true }));
    await requireOwn(folder);
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
    await removeLeft(folder, self, patience);
  } catch (error) {
    held.delete(path);
    await stopHeartbeat();
    throw error;
  }
  const endGuard = guardFolder(folder, () => requireHeld(folder, self, patience));
  return async () => {
    endGuard();
    held.delete(path);
    await withFile("write", path, () => rm(path, { force: true }));
    await stopHeartbeat();
  };
}

/** Removes what processes left that have ended: locks, and signs of life whose lock was not made yet. */
async function removeLeft(folder: string, self: Owner, patience: number): Promise<void> {
  const signs = await ownersIn(folder, "heartbeat.");
  for (const owner of [...(await ownersIn(folder)), ...signs])
    if (nameOf(owner) !== nameOf(self) && (await isGone(folder, owner, patience)))
      for (const left of [join(folder, nameOf(owner)), heartbeatOf(folder, owner)])
        await rm(left, { force: true });
}

/**
 * A process that takes the folder over makes its lock, and then removes this one's. Another's lock may also be that of a process
 * that begins, sees this one, and gives way in a moment.
 *
 * @throws TakenOverError
 */
async function requireHeld(folder: string, self: Owner, patience: number): Promise<void> {
  const asked = performance.now();
  for (;;) {
    // Opened, and not only looked for: network file systems may answer that from what they remember.
    const lock = await open(join(folder, nameOf(self))).catch(() => undefined);
    await lock?.close();
    const other = await otherHolder(folder, self, patience).catch(() => undefined);
    if (lock && !other) return;
    if (!lock || performance.now() - asked > patience)
      throw new TakenOverError(
        `${folder} is not this process's any more: ${other ? `it showed no sign of life for a while, and ${described(other)} has taken over` : "its lock is gone, or the folder is"}. Nothing more is written to it.`,
      );
    await setTimeout(PAUSE);
  }
}

/**
 * A study that somebody else made may hold links, and what is written, cut or removed through them lies anywhere; or pipes, which
 * would be waited for.
 *
 * @throws UsageError that names the first one
 */
async function requireOwn(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    // Another process, in a run's folder, may just have removed it.
    if (error.code === "ENOENT") return [];
    throw error;
  });
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isSymbolicLink())
      throw new UsageError(
        `${path} is a link. A study is written to its own folder and nowhere else: put what it leads to in its place, or let --out itself be a link.`,
      );
    if (entry.isDirectory()) await requireOwn(path);
    else if (!entry.isFile())
      throw new UsageError(`${path} is neither a file nor a folder, and so not of a study: remove it.`);
  }
}

/**
 * Takes a folder as soon as no other process has it.
 *
 * @param wait is told why it is not free, time and again: returns to go on waiting, and throws to give up
 */
export async function lockWhenFree(
  folder: string,
  wait: (inUse: InUseError) => void,
): Promise<() => Promise<void>> {
  for (;;) {
    try {
      return await lockFolder(folder);
    } catch (error) {
      if (!(error instanceof InUseError)) throw error;
      wait(error);
      await setTimeout(1000);
    }
  }
}

/** A process that has a folder. */
export interface Holder {
  host: string;
  pid: number;
  /** Whether it is on this machine. */
  here: boolean;
  /** Whether the process of this number is the one that made the lock, and not another one's since. */
  certain: boolean;
}

/** Who has a folder now: looks, and takes nothing. A folder that is not there is nobody's. */
export async function holderOf(folder: string, patience = pace.patience): Promise<Holder | undefined> {
  const self = await thisProcess();
  const there = await stat(folder).catch(() => undefined);
  const owner = there && (await otherHolder(folder, self, patience));
  if (!owner) return undefined;
  const { host, pid, started } = owner;
  const here = host === thisHost;
  const certain = here && (await startOf(pid)) === started && (started !== UNKNOWN || pid > 1);
  return { host: shownHost(owner), pid, here, certain };
}

const heartbeatOf = (folder: string, owner: Owner) => join(folder, `heartbeat.${nameOf(owner)}`);

/** @param prefix of the names of other files that are named by their owner */
async function ownersIn(folder: string, prefix = ""): Promise<Owner[]> {
  const names = await withFile("read", folder, () => readdir(folder));
  return names.flatMap((name) => {
    if (!name.startsWith(prefix)) return [];
    const [, host, pid, started] =
      /^lock\.(.*)\.([1-9]\d{0,9})\.([\w-]+)$/.exec(name.slice(prefix.length)) ?? [];
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
  return now === ENDED || (now !== UNKNOWN && started !== UNKNOWN && now !== started);
}

const thisHost = encodeURIComponent(hostname());
const UNKNOWN = "0";
/** Of a process that has ended, and that nobody has asked about: it keeps its number, and does nothing any more. */
const ENDED = "ended";

async function thisProcess(): Promise<Owner> {
  return { host: thisHost, pid: process.pid, started: await startOf(process.pid) };
}

/** When a process started: on Linux, in ticks since this boot of the machine. (Numbers of processes come again.) */
async function startOf(pid: number): Promise<string> {
  try {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // Fields 3 and 22; the second one, the program's name in brackets, may hold anything. See proc(5).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return /[ZXx]/.test(fields[0]!) ? ENDED : `${boot.slice(0, 8)}-${fields[19]!}`;
  } catch {
    return UNKNOWN;
  }
}

function inUse(folder: string, owner: Owner): InUseError {
  const path = join(folder, nameOf(owner));
  return new InUseError(
    `${folder} is in use by ${described(owner)}. Wait for it; or, if that process has ended, delete ${path} and run the same command again.`,
  );
}

function described(owner: Owner): string {
  return `process ${owner.pid} on ${shownHost(owner)}`;
}

/** The host as it calls itself; as it is written, where anybody may have written it. */
function shownHost({ host }: Owner): string {
  try {
    return decodeURIComponent(host);
  } catch {
    return host;
  }
}

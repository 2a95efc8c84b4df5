/**
 * @file How long a thread has computed. Processor time stands still while a process is stopped, suspended, or kept waiting by
 * others, where the clock on the wall goes on.
 */

import { readFileSync, readlinkSync } from "node:fs";

/** The operating system's number of the thread that asks; 0 where it cannot be known. */
export function currentThread(): number {
  try {
    return Number(/(\d+)$/.exec(readlinkSync("/proc/thread-self"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/**
 * Milliseconds that a thread of this process has computed. Where the system does not tell (thread 0, or not Linux), those on the
 * clock of the process.
 */
export function threadMilliseconds(thread: number): number {
  return thread > 0 && counts ? (computed(thread) ?? performance.now()) : performance.now();
}

/** From the kernel's scheduler, in nanoseconds; `undefined` where it does not count, or the thread has ended. */
function computed(thread: number): number | undefined {
  try {
    const [nanoseconds] = readFileSync(`/proc/self/task/${thread}/schedstat`, "latin1").split(" ");
    return Number(nanoseconds) / 1e6;
  } catch {
    return undefined;
  }
}

/** Whether the kernel counts at all: this thread has computed by now. */
const counts = (computed(currentThread()) ?? 0) > 0;

/** @file One process at a time in a study's folder. */

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { UsageError } from "./settings.ts";

/**
 * Takes a study's folder for this process. A lock whose process on this machine has ended is taken over.
 *
 * @returns what gives it back
 * @throws UsageError where another process has it
 */
export async function lockStudy(folder: string): Promise<() => Promise<void>> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, "lock.json");
  const mine = JSON.stringify({ pid: process.pid, host: hostname() });
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      await writeFile(path, mine, { flag: "wx" });
      return () => rm(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      if (!(await isStale(path))) break;
      await rm(path, { force: true });
    }
  }
  const owner = await readFile(path, "utf8").catch(() => "unknown");
  throw new UsageError(
    `${folder} is in use by another process (${owner}). Wait for it, or delete ${path} if it is gone.`,
  );
}

async function isStale(path: string): Promise<boolean> {
  const { pid, host } = JSON.parse(await readFile(path, "utf8").catch(() => "{}")) as {
    pid?: number;
    host?: string;
  };
  if (host !== hostname() || pid === undefined) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

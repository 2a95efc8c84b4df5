/** @file Locks of other machines: respected while they show signs of life, taken over when those cease. */

import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startHeartbeat } from "./heartbeat.ts";
import { lockFolder } from "./lock.ts";

const PATIENCE = 1000;
const newFolder = () => mkdtemp(join(tmpdir(), "probeward-lock-"));

/** A lock as another machine's process leaves it. Returns the path of its heartbeat. */
async function lockOfAnother(folder: string): Promise<string> {
  await writeFile(join(folder, "lock.elsewhere.7.abc-1"), "");
  return join(folder, "heartbeat.lock.elsewhere.7.abc-1");
}

it("does not take a lock over while its heart beats", async () => {
  const folder = await newFolder();
  const stop = await startHeartbeat(await lockOfAnother(folder), 50);
  await expect(lockFolder(folder, PATIENCE)).rejects.toThrow(/in use by process 7 on elsewhere/);
  await stop();
});

it("takes over the lock of a machine that died, whatever its clock said, and leaves nothing of it", async () => {
  const folder = await newFolder();
  await writeFile(await lockOfAnother(folder), "41");
  const unlock = await lockFolder(folder, PATIENCE);
  expect((await readdir(folder)).filter((name) => name.includes("elsewhere"))).toEqual([]);
  await unlock();
  expect(await readdir(folder)).toEqual([]);
});

it("leaves a lock alone that never showed a sign of life", async () => {
  const folder = await newFolder();
  await lockOfAnother(folder);
  await expect(lockFolder(folder, PATIENCE)).rejects.toThrow(/in use by process 7 on elsewhere/);
});

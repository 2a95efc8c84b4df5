/** @file Locks of other machines and of processes that are no more; what a folder may hold that is locked. */

import { execFileSync, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { appendLines, writeJson } from "../files.ts";
import { startHeartbeat } from "./heartbeat.ts";
import { holderOf, lockFolder, TakenOverError } from "./lock.ts";

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

it("removes signs of life without a lock: of a process that was killed between the two", async () => {
  const folder = await newFolder();
  await writeFile(join(folder, `heartbeat.lock.${encodeURIComponent(hostname())}.999999999.0`), "0");
  await (await lockFolder(folder))();
  expect(await readdir(folder)).toEqual([]);
});

describe.runIf(process.platform === "linux")("a process on this machine", () => {
  /** The lock of a process, as it would make it itself. */
  async function lockOf(pid: number): Promise<string> {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return `lock.${encodeURIComponent(hostname())}.${pid}.${boot.slice(0, 8)}-${ticks}`;
  }

  it("has no lock any more where it has ended, and nobody asked about it", async () => {
    // What starts it becomes another program, which does not know of it; where it ended before that, it would be asked about.
    const parent = spawn("bash", ["-c", "sleep 1 & echo $!; exec sleep 60"]);
    try {
      const [line] = await createInterface(parent.stdout)
        [Symbol.asyncIterator]()
        .next()
        .then(({ value }) => [value]);
      const folder = await newFolder();
      await writeFile(join(folder, await lockOf(Number(line))), "");
      const state = async () => (await readFile(`/proc/${line}/stat`, "utf8")).split(") ")[1]![0];
      await expect.poll(state).toBe("Z");
      await (await lockFolder(folder))();
      expect(await readdir(folder)).toEqual([]);
    } finally {
      parent.kill("SIGKILL");
    }
  });

  it("is certain to have a lock only where the lock says when it started", async () => {
    const child = spawn("sleep", ["60"]);
    try {
      const folder = await newFolder();
      await writeFile(join(folder, await lockOf(child.pid!)), "");
      expect(await holderOf(folder)).toMatchObject({ pid: child.pid, here: true, certain: true });
      const forged = await newFolder();
      await writeFile(join(forged, `lock.${encodeURIComponent(hostname())}.${child.pid}.0`), "");
      expect(await holderOf(forged)).toMatchObject({ pid: child.pid, here: true, certain: false });
    } finally {
      child.kill("SIGKILL");
    }
  });
});

it("passes over names that are no locks, and shows hosts that nobody can read as they are", async () => {
  const folder = await newFolder();
  for (const name of ["lock.here.0.0", "lock.here.99999999999.0", "lock.1.0"])
    await writeFile(join(folder, name), "");
  expect(await holderOf(folder, 10)).toBeUndefined();
  await writeFile(join(folder, "lock.%ff.7.0"), "");
  expect(await holderOf(folder, 10)).toMatchObject({ host: "%ff", pid: 7, here: false });
});

describe("a folder that is not this process's any more", () => {
  it("is not written in", async () => {
    const folder = await newFolder();
    const unlock = await lockFolder(folder);
    const lines = join(folder, "runs", "lines.jsonl");
    await writeJson(join(folder, "runs", "document.json"), 1);
    await appendLines(lines, [1]);
    for (const name of await readdir(folder)) if (name.startsWith("lock.")) await rm(join(folder, name));
    await lockOfAnother(folder);
    await expect(appendLines(lines, [2])).rejects.toThrow(TakenOverError);
    await expect(writeJson(join(folder, "runs", "document.json"), 2)).rejects.toThrow(
      /process 7 on elsewhere has taken over/,
    );
    expect(await readFile(lines, "utf8")).toBe("1\n");
    expect(await readdir(join(folder, "runs"))).toEqual(["document.json", "lines.jsonl"]);
    await unlock();
    await appendLines(lines, [3]);
  });

  it("is still this one's where another one begins and gives way", async () => {
    const folder = await newFolder();
    const stop = await startHeartbeat(join(folder, "heartbeat.lock.elsewhere.7.abc-1"), 50);
    const unlock = await lockFolder(folder);
    await lockOfAnother(folder);
    const written = appendLines(join(folder, "lines.jsonl"), [1]);
    await rm(join(folder, "lock.elsewhere.7.abc-1"));
    await stop();
    await written;
    await unlock();
  });
});

it("refuses a folder in which a link or a pipe is, at any depth, and follows none", async () => {
  const elsewhere = await newFolder();
  await writeFile(join(elsewhere, "notes.txt"), "mine");
  const folder = await newFolder();
  await mkdir(join(folder, "runs"));
  await symlink(elsewhere, join(folder, "runs", "none"));
  await expect(lockFolder(folder)).rejects.toThrow(/none is a link\. A study is written to its own folder/);
  expect(await readdir(folder)).toEqual(["runs"]);
  expect(await readdir(elsewhere)).toEqual(["notes.txt"]);
  await rm(join(folder, "runs", "none"));
  execFileSync("mkfifo", [join(folder, "runs", "none")]);
  await expect(lockFolder(folder)).rejects.toThrow(/none is neither a file nor a folder/);
  // The folder itself may be reached through one.
  const through = join(elsewhere, "through");
  await symlink(await newFolder(), through);
  await (await lockFolder(through))();
});

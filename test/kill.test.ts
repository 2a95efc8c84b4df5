/** @file Real processes on one study folder: killed at random moments, two at once, on a disk that is full. */

import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomFor, randomInt } from "../src/random.ts";
import { leftIn } from "./left.ts";
import { bundle, type Script, start } from "./process.ts";

let script: Script;
let place: string;
/** What a study leaves that was never stopped. */
let whole: Record<string, string>;

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-kill-"));
  script = await bundle("tiny-study-process.ts");
  const folder = join(place, "whole");
  expect(await study(folder).ended).toMatchObject({ status: 0, stderr: "" });
  whole = await leftIn(folder);
}, 60_000);
afterAll(async () => {
  await rm(place, { recursive: true, force: true });
  await script.remove();
});

function study(folder: string, onLine?: (line: string) => void) {
  return start(process.execPath, [script.path, folder], onLine);
}

/** All that is in a folder, with times of writing: what has changed where another process should have touched nothing. */
async function touched(folder: string) {
  const names = await readdir(folder, { recursive: true });
  return Promise.all(names.sort().map(async (name) => [name, (await stat(join(folder, name))).mtimeMs]));
}

async function locksIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.startsWith("lock."));
}

/** Deaths to survive, over as many studies as it takes, each of which dies several times. */
const KILLS = 24;

describe("a study that is killed", () => {
  it(`ends with the same files after ${KILLS} deaths at random moments`, async () => {
    const random = randomFor("kill test");
    const places: Record<string, number> = {};
    let kills = 0;
    let studies = 0;
    while (kills < KILLS) {
      const folder = join(place, `killed-${studies++}`);
      for (let done = false; !done; ) {
        // Some moments after some of the study's own signs of life: the stages, then a line for every step.
        const signs = randomInt(random, 8);
        const milliseconds = randomInt(random, signs === 0 ? 600 : 120);
        let seen = 0;
        let last = "start";
        let go = () => {};
        const reached = new Promise<void>((resolve) => {
          go = resolve;
        });
        const { child, ended } = study(folder, (line) => {
          last = JSON.parse(line).kind;
          if (++seen === signs) go();
        });
        if (signs === 0) go();
        await Promise.race([ended, reached]);
        await Promise.race([ended, setTimeout(milliseconds)]);
        child.kill("SIGKILL");
        const { status, signal, stderr } = await ended;
        if (signal === "SIGKILL") {
          kills++;
          places[last] = (places[last] ?? 0) + 1;
        } else {
          expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
          done = true;
        }
      }
      const left = await leftIn(folder);
      for (const name of Object.keys(left)) if (/^report\.html\.\d+\.partial$/.test(name)) delete left[name];
      expect(left).toEqual(whole);
    }
    console.log(
      `${kills} kills over ${studies} studies; last sign of life before: ${JSON.stringify(places)}`,
    );
    expect(Object.keys(places).sort()).toEqual(["stage", "start", "step"]);
  }, 300_000);

  it("ends with the same files where the process before is another one now, and where the machine is another", async () => {
    const folder = join(place, "taken-over");
    await mkdir(folder);
    // A number that was given out again: process 1 is there, but it did not start then.
    const names = [`lock.${hostname()}.999999999.0`];
    if (process.platform === "linux") names.push(`lock.${hostname()}.1.00000000-1`);
    for (const name of names) await writeFile(join(folder, name), "");
    expect(await study(folder).ended).toMatchObject({ status: 0, stderr: "" });
    expect(await leftIn(folder)).toEqual(whole);

    const elsewhere = "lock.elsewhere.7.0";
    await writeFile(join(folder, elsewhere), "");
    const before = await touched(folder);
    const { status, stderr } = await study(folder).ended;
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining(elsewhere) });
    expect(stderr).toMatch(/in use by process 7 on elsewhere.*delete/);
    expect(await touched(folder)).toEqual(before);
  }, 60_000);
});

describe("two processes on one folder", () => {
  it("the second is told, and touches nothing", async () => {
    const folder = join(place, "two");
    let begun = () => {};
    const first = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const running = study(folder, begun);
    await first;
    // It stands still, so that all that changes would be the second one's doing.
    running.child.kill("SIGSTOP");
    const before = await touched(folder);
    const { status, stderr } = await study(folder).ended;
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: expect.stringMatching(new RegExp(`in use by process ${running.child.pid} on `)),
    });
    expect(await touched(folder)).toEqual(before);
    running.child.kill("SIGCONT");
    expect(await running.ended).toMatchObject({ status: 0, stderr: "" });
    expect(await leftIn(folder)).toEqual(whole);
  }, 60_000);

  it("of several that start at once, one has it, and no lock is left", async () => {
    const folder = join(place, "several");
    const ended = await Promise.all([1, 2, 3, 4].map(() => study(folder).ended));
    expect(ended.filter(({ status }) => status === 0).length).toBeGreaterThan(0);
    for (const { status, stderr } of ended)
      if (status !== 0)
        expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining("in use by") });
    expect(await leftIn(folder)).toEqual(whole);
    expect(await locksIn(folder)).toEqual([]);
  }, 60_000);
});

describe("a process that stands still, and wakes when another machine has taken its study over", () => {
  const PATIENCE = 1200;
  /** The study as a process of a machine of this name. */
  function onMachine(name: string, folder: string, onLine?: (line: string) => void) {
    const named = `import os from "node:os";
      import { syncBuiltinESMExports } from "node:module";
      os.hostname = () => "${name}";
      syncBuiltinESMExports();`;
    const preload = `data:text/javascript,${encodeURIComponent(named)}`;
    const args = ["--import", preload, script.path, folder, "6", String(PATIENCE)];
    return start(process.execPath, args, onLine);
  }
  /** Resolves with the first line of its kind. */
  function until(kind: string, begin: (onLine: (line: string) => void) => ReturnType<typeof onMachine>) {
    return new Promise<ReturnType<typeof onMachine>>((resolve) => {
      const running = begin((line) => JSON.parse(line).kind === kind && resolve(running));
    });
  }

  it("stops, and leaves a study alone that has ended since", async () => {
    const folder = join(place, "slept-long");
    const slept = await until("step", (onLine) => onMachine("one", folder, onLine));
    slept.child.kill("SIGSTOP");
    expect(await onMachine("two", folder).ended).toMatchObject({ status: 0, stderr: "" });
    const before = await touched(folder);
    slept.child.kill("SIGCONT");
    expect(await slept.ended).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/is not this process's any more/),
    });
    expect(await touched(folder)).toEqual(before);
    expect(await leftIn(folder)).toEqual(whole);
  }, 60_000);

  it("stops, and leaves a study alone that is gone on with", async () => {
    const folder = join(place, "slept");
    const slept = await until("step", (onLine) => onMachine("one", folder, onLine));
    slept.child.kill("SIGSTOP");
    const other = await until("step", (onLine) => onMachine("two", folder, onLine));
    slept.child.kill("SIGCONT");
    expect(await slept.ended).toMatchObject({ status: 1, stderr: expect.stringContaining("on two") });
    expect(await other.ended).toMatchObject({ status: 0, stderr: "" });
    expect(await leftIn(folder)).toEqual(whole);
  }, 60_000);
});

describe("a folder that was moved away under a process", () => {
  it("is not made again", async () => {
    const folder = join(place, "moved");
    let moved: Promise<void> | undefined;
    const running = study(folder, (line) => {
      if (JSON.parse(line).kind === "step") moved ??= rename(folder, join(place, "moved-to"));
    });
    expect(await running.ended).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/is not this process's any more/),
    });
    await moved;
    expect(await readdir(place)).not.toContain("moved");
  }, 60_000);
});

describe("a disk that takes no more", () => {
  /** Runs the study where it cannot write, then where it can. */
  async function goesOn(folder: string, refused: ReturnType<typeof start>, message: RegExp) {
    const { status, stderr } = await refused.ended;
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringMatching(message) });
    expect(stderr).toContain(folder);
    for (const name of Object.keys(await leftIn(folder).catch(() => ({}))))
      if (/\.json$/.test(name)) JSON.parse(await readFile(join(folder, name), "utf8"));
  }

  it.runIf(process.platform === "linux")(
    "files that may not grow any further",
    async () => {
      // In units of 512 bytes or 1 KiB: enough for the base stage, too little for what follows.
      for (const limit of [4, 24]) {
        const folder = join(place, `limit-${limit}`);
        const command = `ulimit -f ${limit}; exec "$0" "$@"`;
        const refused = start("bash", ["-c", command, process.execPath, script.path, folder]);
        await goesOn(folder, refused, /^cannot write .*(ulimit -f|disk is full)/s);
        expect(await study(folder).ended).toMatchObject({ status: 0, stderr: "" });
        expect(await leftIn(folder)).toEqual(whole);
      }
    },
    60_000,
  );

  it("a file system that is full", async (context) => {
    const mount = join(place, "small");
    await mkdir(mount);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=128k", "tmpfs", mount], { stdio: "ignore" });
    } catch {
      context.skip("mounting a small file system takes root's rights, which this process does not have");
    }
    try {
      const folder = join(mount, "study");
      await goesOn(folder, study(folder), /^cannot write .*the disk is full\. Free some space/s);
      execFileSync("mount", ["-o", "remount,size=16m", mount]);
      expect(await study(folder).ended).toMatchObject({ status: 0, stderr: "" });
      expect(await leftIn(folder)).toEqual(whole);
    } finally {
      execFileSync("umount", [mount]);
    }
  }, 60_000);

  it("a folder that cannot be made, since a file stands there", async () => {
    const file = join(place, "file");
    await writeFile(file, "mine");
    await goesOn(file, study(file), /^cannot write .*a file stands where a folder should be/s);
    await goesOn(file, study(join(file, "study")), /^cannot write .*a file stands where a folder should be/s);
    expect(await readFile(file, "utf8")).toBe("mine");
  }, 60_000);

  it("a folder that is read-only", async (context) => {
    const folder = join(place, "read-only");
    await mkdir(folder);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", folder], { stdio: "ignore" });
    } catch {
      context.skip("mounting a read-only folder takes root's rights, and root ignores other permissions");
    }
    try {
      await goesOn(folder, study(folder), /^cannot write .*the disk is read-only\. Give another --out/s);
    } finally {
      execFileSync("umount", [folder]);
    }
  }, 60_000);
});

describe("the same seed", () => {
  it("gives the same run, byte for byte, in two processes at once", async () => {
    const folders = ["same-1", "same-2"].map((name) => join(place, name));
    await Promise.all(folders.map((folder) => study(folder).ended));
    for (const folder of folders) expect(await leftIn(folder)).toEqual(whole);
  }, 60_000);
});

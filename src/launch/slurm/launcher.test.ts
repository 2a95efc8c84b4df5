/** @file What the command line makes of Slurm's answers, and of their absence: stand-ins for its commands, no cluster. */

import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { probeward, writeTinyStudy } from "../../../test/launched-study.ts";
import { startHeartbeat } from "../../store/index.ts";

import { isArray, readRecords } from "./records.ts";

let place: string;
/** Submits, and then knows of nothing. */
let standIns: { PATH: string };
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-slurm-launcher-"));
  const commands = join(place, "commands");
  await mkdir(commands);
  for (const [name, line] of Object.entries({ sbatch: "echo $$", squeue: "", scancel: "" })) {
    await writeFile(join(commands, name), `#!/bin/sh\n${line}\n`);
    await chmod(join(commands, name), 0o755);
  }
  standIns = { PATH: commands };
});
afterAll(() => rm(place, { recursive: true }));

/** A run's folder as a process leaves it, or has it. */
async function writeStatus(folder: string, run: string, state: string, step: number): Promise<string> {
  const own = join(folder, "runs", run);
  await mkdir(own, { recursive: true });
  const status = { state, step, steps: 6, updated: new Date().toISOString(), threads: 1 };
  await writeFile(join(own, "status.json"), JSON.stringify(status));
  return own;
}

it("goes on with a submission as it was submitted, whatever the study was launched with since", async () => {
  const file = await writeTinyStudy(join(place, "gone on with"), { arms: ["none"], seeds: 2 });
  const folder = join(place, "gone on with slurm");
  const study = (...flags: string[]) =>
    probeward(["study", file, "--out", folder, "--launch", "slurm", ...flags], standIns).ended;
  expect(await study("--slurm", "partition=long", "--slurm", "time=5")).toMatchObject({ status: 0 });
  // Out of time; and the study's command is given again before the finishing job has its turn, with nothing said of Slurm.
  await writeStatus(folder, "none/seed-1", "stopped", 3);
  expect(await study()).toMatchObject({ status: 0 });
  expect(await probeward(["task", "finish", folder, "1"], standIns).ended).toMatchObject({ status: 0 });

  const options = (launch: number) => readFile(join(folder, "launch", String(launch), "runs.sh"), "utf8");
  expect(await options(2)).not.toContain("partition");
  const goneOnWith = await options(3);
  expect(goneOnWith).toContain("\n#SBATCH --partition=long\n");
  expect(goneOnWith).toContain("\n#SBATCH --time=5\n");
  const arrays = (await readRecords(folder)).filter(isArray);
  expect(arrays.map(({ launch, round, runs }) => [launch, round, runs.map(({ run }) => run)])).toEqual([
    [1, 1, ["none/seed-1", "none/seed-2"]],
    [2, 1, ["none/seed-1", "none/seed-2"]],
    [3, 2, ["none/seed-1"]],
  ]);
}, 60_000);

it("says how runs stand where Slurm's commands are not, by their folders", async () => {
  const file = await writeTinyStudy(join(place, "from afar"), { arms: ["none"], seeds: 4 });
  const folder = join(place, "from afar slurm");
  const launched = probeward(["study", file, "--out", folder, "--launch", "slurm"], standIns);
  expect(await launched.ended).toMatchObject({ status: 0 });
  await writeStatus(folder, "none/seed-1", "done", 6);
  const running = await writeStatus(folder, "none/seed-2", "running", 2);
  const lock = "lock.a-node.7.abc-1";
  const stop = await startHeartbeat(join(running, `heartbeat.${lock}`), 50);
  await writeFile(join(running, lock), "");
  await writeStatus(folder, "none/seed-3", "stopped", 4);

  const { status, stdout, stderr } = await probeward(["status", folder, "--json"], { PATH: place }).ended;
  await stop();
  expect(status).toBe(0);
  expect(stderr).toMatch(/^warning: squeue is not on this machine.*\n$/);
  expect(JSON.parse(stdout)).toMatchObject([
    { run: "none/seed-1", state: "done" },
    { run: "none/seed-2", state: "running", step: 2, detail: "process 7 on a-node" },
    { run: "none/seed-3", state: "stopped", step: 4 },
    { run: "none/seed-4", state: "waiting" },
  ]);
}, 60_000);

it("cancels the jobs of a study's own scripts, and no others that its records may name", async () => {
  const file = await writeTinyStudy(join(place, "cancelled"), { arms: ["none"] });
  const folder = join(place, "cancelled slurm");
  const launched = probeward(["study", file, "--out", folder, "--launch", "slurm"], standIns);
  expect(await launched.ended).toMatchObject({ status: 0 });
  const { job } = (await readRecords(folder)).find(isArray)!;
  const queue = join(place, "queue");
  const cancelled = join(place, "cancelled.txt");
  const commands = join(place, "commands of a queue");
  await mkdir(commands);
  const lines = {
    squeue: `while read -r line; do echo "$line"; done < "${queue}"`,
    // What is cancelled is in the queue no more.
    scancel: `echo "$@" > "${cancelled}"; : > "${queue}"`,
  };
  for (const [name, line] of Object.entries(lines)) {
    await writeFile(join(commands, name), `#!/bin/sh\n${line}\n`);
    await chmod(join(commands, name), 0o755);
  }
  const cancel = () => probeward(["cancel", folder], { PATH: commands }).ended;

  // A study of the same names elsewhere.
  const other = join(place, "other", "launch", "1");
  await mkdir(other, { recursive: true });
  await writeFile(join(other, "runs.sh"), "");
  await writeFile(queue, `${job}_0|RUNNING|node1|${other}/runs.sh\n`);
  expect(await cancel()).toMatchObject({ status: 0, stdout: "Nothing of it is running or in a queue.\n" });
  await expect(readFile(cancelled, "utf8")).rejects.toThrow("ENOENT");

  const link = join(place, "link");
  await symlink(folder, link);
  await writeFile(queue, `${job}_0|RUNNING|node1|${link}/launch/1/runs.sh\n`);
  expect(await cancel()).toMatchObject({ status: 0, stdout: `Stopped: Slurm job ${job}\n` });
  expect(await readFile(cancelled, "utf8")).toBe(`${job}\n`);
}, 60_000);

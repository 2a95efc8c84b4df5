/** @file What launchers keep, on this machine and on a cluster of two nodes: all through the command line, as users have it. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  probeward,
  processesOn,
  readStates,
  readSummary,
  slow,
  writeTinyStudy,
} from "../../test/launched-study.ts";
import { leftIn } from "../../test/left.ts";
import { type Cluster, startCluster, until, whyNoCluster } from "../../test/slurm-cluster.ts";
import { tinySettings } from "../../test/tiny-study.ts";
import { holderOf, type Summary } from "../store/index.ts";

import { isArray, readRecords } from "./slurm/records.ts";

const missing = whyNoCluster();
if (missing) console.warn(`Nothing is tested on a cluster: ${missing}`);
let cluster: Cluster | undefined;
let place: string;

/** One thread, as tasks of the cluster have: with others, rounding differs. */
const alone = { PROBEWARD_THREADS: "1" };
const training = { ...tinySettings().training, steps: 6 };
const twelve = {
  ...{ arms: ["none", "probe-penalty", "oracle-penalty", "probe-penalty-frozen"], seeds: 3, training },
};
/** Runs of about a minute, where they are slow. */
const long = {
  ...{ arms: ["none"], seeds: 2 },
  training: { ...training, steps: 60, checkpointEvery: 5, evaluateEvery: 20 },
};

/** A study that was never stopped, in one process: what it comes to. */
async function inOneProcess(name: string, settings: object) {
  const file = await writeTinyStudy(join(place, name), settings);
  const folder = join(place, `${name} in one process`);
  const { status, stderr } = await probeward(["study", file, "--out", folder], alone).ended;
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.any(String) });
  return { summary: await readSummary(folder), files: await leftIn(join(folder, "runs")) };
}

let whole: { summary: Summary; files: Record<string, string> };
let wholeLong: typeof whole;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-launch-"));
  whole = await inOneProcess("twelve", twelve);
  wholeLong = await inOneProcess("long", long);
  if (!missing) cluster = await startCluster();
}, 300_000);
afterAll(async () => {
  await cluster?.stop();
  await rm(place, { recursive: true });
});

/** The command line as a launcher's users have it. */
function using(launcher: "local" | "slurm", ...settings: string[]) {
  const flags =
    launcher === "local"
      ? ["--launch", "local", "--jobs", "2"]
      : ["--launch", "slurm", ...["memory=0", ...settings].flatMap((setting) => ["--slurm", setting])];
  // The cluster is there once tests begin.
  const variables = () => ({ ...alone, ...cluster?.environment });
  return {
    study: (file: string, folder: string) =>
      probeward(["study", file, "--out", folder, ...flags], variables()),
    states: (folder: string) => readStates(folder, variables()),
    cancel: (folder: string) => probeward(["cancel", folder], variables()).ended,
    /** Until nothing is under way. What is not Slurm's was waited for. */
    async settled() {
      if (launcher === "slurm") await until(async () => (await cluster!.slurm("squeue", "-h")) === "", 300);
    },
  };
}

/** Until runs of a study have each done a few steps. */
async function underWay(folder: string, runs: readonly string[]) {
  for (const run of runs)
    await until(async () => {
      const lines = await readFile(join(folder, "runs", run, "metrics.jsonl"), "utf8").catch(() => "");
      return lines.split("\n").length > 2;
    }, 120);
}

/** On which nodes a task was started, and after how many restarts, by its log. */
async function startsOf(folder: string, task: number): Promise<string[]> {
  const log = await readFile(join(folder, "launch", "1", `run-${task}.log`), "utf8");
  return [...log.matchAll(/^Slurm job \d+ on (.*) times$/gm)].map(([, start]) => start!);
}

describe.each(["local", "slurm"] as const)("the %s launcher", (name) => {
  const { study, states, cancel, settled } = using(name);
  const onEither = it.skipIf(name === "slurm" && missing !== undefined);

  onEither(
    "comes to the same summary and the same runs as one process, and does nothing twice",
    async () => {
      const file = join(place, "twelve", "study.yaml");
      const folder = join(place, `twelve ${name}`);
      for (const _ of ["first", "again"]) {
        expect(await study(file, folder).ended).toMatchObject({ status: 0 });
        await settled();
        expect(await readSummary(folder)).toEqual(whole.summary);
        expect(await leftIn(join(folder, "runs"))).toEqual(whole.files);
      }
      expect((await states(folder)).map(({ state }) => state)).toEqual(Array(12).fill("done"));
      if (name === "local") return;
      expect((await readRecords(folder)).map(({ role }) => role)).toEqual(["prepare", "runs", "finish"]);
      const starts = await Promise.all(Array.from({ length: 12 }, (_, task) => startsOf(folder, task)));
      expect(new Set(starts.flat())).toEqual(new Set(["node1, restarted 0", "node2, restarted 0"]));
    },
    600_000,
  );

  onEither(
    "goes on without a run that fails, and says why it did",
    async () => {
      const settings = { arms: ["probe-loss", "none"], seeds: 1, lossStrength: 1e39, training };
      const file = await writeTinyStudy(join(place, "failing"), settings);
      const folder = join(place, `failing ${name}`);
      await study(file, folder).ended;
      await settled();
      expect(await states(folder)).toMatchObject([
        { run: "probe-loss/seed-1", state: "failed", detail: expect.stringMatching(/^step 0: loss is/) },
        { run: "none/seed-1", state: "done" },
      ]);
      const summary = await readSummary(folder);
      expect(Object.keys(summary.arms)).toEqual(["none"]);
      expect(summary.failed).toMatchObject([{ arm: "probe-loss", seed: 1 }]);
    },
    300_000,
  );

  onEither(
    "is cancelled: runs keep their step, and no process is left",
    async () => {
      const file = await writeTinyStudy(join(place, "cancelled"), { ...long, ...slow, seeds: 3 });
      const folder = join(place, `cancelled ${name}`);
      const { ended } = study(file, folder);
      await underWay(folder, ["none/seed-1", "none/seed-2"]);
      expect((await states(folder)).map(({ state }) => state)).toEqual(["running", "running", "pending"]);
      expect(await cancel(folder)).toMatchObject({ status: 0, stdout: expect.stringMatching(/^Stopped: /) });
      await ended;
      expect(await processesOn(folder)).toEqual([]);
      const left = await states(folder);
      expect(left.map(({ state }) => state)).toEqual(["stopped", "stopped", "waiting"]);
      expect(left[0]!.step).toBeGreaterThan(0);
      expect(await cancel(folder)).toMatchObject({
        status: 0,
        stdout: "Nothing of it is running or in a queue.\n",
      });
    },
    300_000,
  );
});

describe("the local launcher", () => {
  it("loses one run where a process is killed, and does the others", async () => {
    const settings = { ...slow, arms: ["none"], seeds: 3, training };
    const file = await writeTinyStudy(join(place, "crashing"), settings);
    const folder = join(place, "crashing local");
    const { study, states } = using("local");
    const { ended } = study(file, folder);
    await underWay(folder, ["none/seed-1", "none/seed-2"]);
    process.kill((await holderOf(join(folder, "runs", "none", "seed-1")))!.pid, "SIGKILL");
    expect(await ended).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("none, seed 1: its process was ended by SIGKILL"),
    });
    expect((await states(folder)).map(({ state }) => state)).toEqual(["stopped", "done", "done"]);
    // The same command goes on with what was lost.
    expect(await study(file, folder).ended).toMatchObject({ status: 0 });
  }, 300_000);

  it("leaves no process behind when it is killed, and is gone on with at once", async () => {
    const settings = { ...slow, arms: ["none"], seeds: 2, training };
    const file = await writeTinyStudy(join(place, "killed"), settings);
    const folder = join(place, "killed local");
    const { child, ended } = using("local").study(file, folder);
    await underWay(folder, ["none/seed-1", "none/seed-2"]);
    expect((await processesOn(folder)).length).toBe(3);
    // A worker that is in its step for longer than the next command takes to begin.
    const worker = (await holderOf(join(folder, "runs", "none", "seed-1")))!.pid;
    process.kill(worker, "SIGSTOP");
    child.kill("SIGKILL");
    await ended;
    const again = using("local").study(file, folder);
    await new Promise<void>((resolve) => {
      again.child.stderr!.on("data", (data) => String(data).includes("seed 1: waits: ") && resolve());
    });
    process.kill(worker, "SIGCONT");
    expect(await again.ended).toMatchObject({
      status: 0,
      stderr: expect.stringContaining(`is in use by process ${worker} on `),
    });
    const expected = Object.entries(whole.files).filter(([path]) => /^none\/seed-[12]\//.test(path));
    expect(await leftIn(join(folder, "runs"))).toEqual(Object.fromEntries(expected));
    await until(async () => (await processesOn(folder)).length === 0);
  }, 300_000);
});

describe.skipIf(missing !== undefined)("the slurm launcher", () => {
  /** The long study, slow, has come to what it comes to in one process. */
  async function expectWhole(folder: string) {
    expect(await readSummary(folder)).toEqual(wholeLong.summary);
    expect(await leftIn(join(folder, "runs"))).toEqual(wholeLong.files);
  }

  /** A task that Slurm starts again: it lets it wait for two minutes, in case that more is wrong. */
  async function startedAtOnce() {
    let held: string | undefined;
    await until(async () => {
      const waiting = await cluster!.slurm("squeue", "-h", "-r", "-t", "PENDING", "-o", "%i %r");
      held = /^(\S+) BeginTime$/m.exec(waiting)?.[1];
      return held !== undefined;
    });
    await cluster!.slurm("scontrol", "update", `JobId=${held}`, "StartTime=now");
  }

  it("survives a node that dies", async () => {
    const { study, settled } = using("slurm");
    const file = await writeTinyStudy(join(place, "dying"), { ...long, ...slow });
    const folder = join(place, "dying slurm");
    expect(await study(file, folder).ended).toMatchObject({ status: 0 });
    await underWay(folder, ["none/seed-1", "none/seed-2"]);
    expect((await cluster!.killNode("node1")).length).toBeGreaterThan(0);
    await startedAtOnce();
    await settled();
    cluster!.startNode("node1");
    await expectWhole(folder);
    const starts = await Promise.all([0, 1].map((task) => startsOf(folder, task)));
    expect(starts.sort()).toEqual([["node1, restarted 0", "node2, restarted 1"], ["node2, restarted 0"]]);
    // Nobody had to submit it again.
    expect((await readRecords(folder)).filter(isArray)).toHaveLength(1);
  }, 600_000);

  it("loses nothing where a task has to give way to others, and is started again", async () => {
    const file = await writeTinyStudy(join(place, "requeued"), {
      ...slow,
      arms: ["none"],
      seeds: 1,
      training,
    });
    const folder = join(place, "requeued slurm");
    expect(await using("slurm").study(file, folder).ended).toMatchObject({ status: 0 });
    await underWay(folder, ["none/seed-1"]);
    const { job } = (await readRecords(folder)).find(isArray)!;
    await cluster!.slurm("scontrol", "requeue", `${job}_0`);
    await startedAtOnce();
    await using("slurm").settled();
    const expected = Object.entries(whole.files).filter(([path]) => path.startsWith("none/seed-1/"));
    expect(await leftIn(join(folder, "runs"))).toEqual(Object.fromEntries(expected));
    const starts = await startsOf(folder, 0);
    expect(starts.map((start) => start.slice(-1))).toEqual(["0", "1"]);
    // It was told, kept its step, and went on from there.
    const log = await readFile(join(folder, "launch", "1", "run-0.log"), "utf8");
    expect(log).toMatch(/^stopped after step [1-5] of 6$/m);
  }, 300_000);

  it("goes on with tasks that reach their time limit", async () => {
    // Slurm looks at limits twice a minute, and half a minute ahead: tasks are warned after 20 to 50 seconds, and sleep for 60.
    const { study, settled } = using("slurm", "time=2", "warning=70");
    const file = await writeTinyStudy(join(place, "limited"), { ...long, ...slow });
    const folder = join(place, "limited slurm");
    expect(await study(file, folder).ended).toMatchObject({ status: 0 });
    await settled();
    await expectWhole(folder);
    const rounds = (await readRecords(folder)).filter(isArray).map(({ round }) => round);
    expect(rounds.length).toBeGreaterThan(1);
    expect(rounds).toEqual(rounds.map((_, i) => i + 1));
  }, 600_000);

  it("says so where preparing fails, and leaves nothing waiting", async () => {
    const { study, states, settled } = using("slurm");
    const probe = { ...tinySettings().probe, positions: ["follow-up"] };
    const file = await writeTinyStudy(join(place, "unprepared"), { ...twelve, probe });
    const folder = join(place, "unprepared slurm");
    expect(await study(file, folder).ended).toMatchObject({ status: 0 });
    await settled();
    const log = join(folder, "launch", "1", "prepare.log");
    expect(await readFile(log, "utf8")).toContain("the environment tiny has no follow-up to read at");
    expect(await readFile(join(folder, "launch", "1", "finish.log"), "utf8")).toContain(log);
    for (const run of await states(folder))
      expect(run).toMatchObject({ state: "waiting", detail: expect.stringContaining(log) });
  }, 300_000);
});

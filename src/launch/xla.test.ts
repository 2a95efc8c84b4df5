/** @file Runs on several processes and several nodes: the same as in one sitting, whatever is killed on the way. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { probeward, slow, writeTinyStudy } from "../../test/launched-study.ts";
import { leftIn } from "../../test/left.ts";
import { type Cluster, startCluster, until, whyNoCluster } from "../../test/slurm-cluster.ts";
import { tinySettings } from "../../test/tiny-study.ts";
import { onXla } from "../../test/xla.ts";
import { randomFor, randomInt } from "../random.ts";

/** Workers and nodes that are killed. Few, so that the test takes half a minute each, and more where it is asked for. */
const [WORKERS, NODES] = (process.env.PROBEWARD_KILLS ?? "2,1").split(",").map(Number) as [number, number];

/** Milliseconds that each part may take: on a machine that others keep busy, a kill takes minutes. */
const PATIENCE = 300_000 * Math.max(4, WORKERS, NODES);

/** One thread, as tasks of the cluster have. */
const alone = { PROBEWARD_THREADS: "1" };
const settings = {
  ...{ arms: ["probe-penalty"], seeds: 1 },
  training: { ...tinySettings().training, steps: 4 + 4 * Math.max(NODES, WORKERS / 2), checkpointEvery: 2 },
};
const missing = whyNoCluster();
if (missing) console.warn(`Nothing is tested on several nodes: ${missing}`);

onXla("a run on two processes", () => {
  let place: string;
  let whole: Record<string, string>;
  let cluster: Cluster | undefined;
  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "probeward-launch-xla-"));
    const { ended, runs } = await study("whole", { processes: 2 });
    expect(await ended).toMatchObject({ status: 0 });
    whole = await leftIn(runs);
  }, PATIENCE);
  afterAll(async () => {
    await cluster?.stop();
    await rm(place, { recursive: true });
  });

  /** The study as a process. */
  async function study(name: string, engine: object, flags: string[] = [], own: object = {}) {
    const file = await writeTinyStudy(join(place, name, "file"), {
      ...{ ...settings, ...own },
      engine: { runtime: "xla", ...engine },
    });
    const folder = join(place, name, "study");
    const args = ["study", file, "--out", folder, ...flags];
    const runs = join(folder, "runs");
    return { ...probeward(args, { ...alone, ...cluster?.environment }), folder, runs };
  }

  it(
    `comes to the same after ${WORKERS} of its workers were killed`,
    async () => {
      const random = randomFor("killed workers");
      const moments: string[] = [];
      for (let status: number | null = 1; status !== 0; ) {
        const { child, ended, runs } = await study("killed", { processes: 2 });
        if (moments.length < WORKERS) {
          const over = () => child.exitCode !== null;
          const workers = () => workersOf(child.pid!);
          await until(async () => (await workers()).length === 2 || over(), 120);
          // Every other time while it is made ready, else in a step.
          const before = await linesOf(runs);
          if (moments.length % 2 === 0) await Promise.race([ended, setTimeout(randomInt(random, 6000))]);
          else {
            await until(async () => (await linesOf(runs)) > before || over(), 300);
            await Promise.race([ended, setTimeout(randomInt(random, 1000))]);
          }
          const which = randomInt(random, 2);
          const victim = (await workers())[which];
          if (victim !== undefined && !over()) {
            process.kill(victim, "SIGKILL");
            moments.push(`${which} at step ${await linesOf(runs)}`);
          }
        }
        const { status: own, stderr } = await ended;
        status = own;
        if (status !== 0)
          expect(stderr).toMatch(
            /^probeward: xla: (the worker|process \d of the worker).*Run the same command again/m,
          );
      }
      console.log(`Killed: ${moments.join(", ")}`);
      expect(await leftIn(join(place, "killed/study/runs"))).toEqual(whole);
    },
    PATIENCE,
  );

  it.skipIf(missing)(
    `comes to the same on two nodes of a cluster, which die ${NODES} times`,
    async () => {
      cluster = await startCluster();
      const queue = (...options: string[]) => cluster!.slurm("squeue", "-h", "-r", ...options);
      const { ended, folder } = await study(
        "nodes",
        { nodes: 2 },
        ["--launch", "slurm", "--slurm", "memory=0"],
        slow,
      );
      expect(await ended).toMatchObject({ status: 0 });
      const runs = join(folder, "runs");
      let last = 1;
      for (let deaths = 0; deaths < NODES; deaths++) {
        const node = deaths % 2 === 0 ? "node2" : "node1";
        await until(async () => {
          await startAtOnce();
          return (await linesOf(runs)) > last && (await cluster!.processesOf(node)).length > 0;
        }, 600);
        expect((await cluster.killNode(node)).length).toBeGreaterThan(0);
        last = await linesOf(runs);
        // Until Slurm has noticed.
        await until(async () => !(await queue("-t", "RUNNING", "-o", "%j")).includes("runs"), 120);
        cluster.startNode(node);
      }
      await until(async () => {
        await startAtOnce();
        return (await queue()) === "";
      }, 600);
      expect(await leftIn(runs)).toEqual(whole);

      /** Slurm lets what it starts again wait for two minutes, in case that more is wrong. */
      async function startAtOnce() {
        const held = /^(\S+) BeginTime$/m.exec(await queue("-t", "PENDING", "-o", "%i %r"))?.[1];
        if (held) await cluster!.slurm("scontrol", "update", `JobId=${held}`, "StartTime=now");
      }
    },
    PATIENCE,
  );
});

/** How many steps are on disk. */
async function linesOf(runs: string): Promise<number> {
  const text = await readFile(join(runs, "probe-penalty/seed-1/metrics.jsonl"), "utf8").catch(() => "");
  return text.split("\n").length - 1;
}

/** The workers that a process has started. */
async function workersOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  const found: number[] = [];
  for (const child of children.trim().split(" ").filter(Boolean)) {
    const command = await readFile(`/proc/${child}/cmdline`, "utf8").catch(() => "");
    if (command.includes("probeward_xla")) found.push(Number(child));
  }
  return found;
}

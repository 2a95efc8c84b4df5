/** @file Runs on several processes and several nodes: the same as in one sitting, whatever is killed on the way. */

import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { probeward, readSummary, slow, writeTinyStudy } from "../../test/launched-study.ts";
import { leftIn } from "../../test/left.ts";
import { type Cluster, startCluster, until, whyNoCluster } from "../../test/slurm-cluster.ts";
import { tinySettings } from "../../test/tiny-study.ts";
import { onXla } from "../../test/xla.ts";
import { randomFor, randomInt } from "../random.ts";

/** How many workers are killed. Some, so that all tests take minutes; twenty, and nodes too, where it is asked for. */
const KILLS = Number(process.env.PROBEWARD_KILLS ?? 3);

const alone = { PROBEWARD_THREADS: "1" };
const settings = {
  ...{ arms: ["probe-penalty"], seeds: 1, anyway: true },
  training: { ...tinySettings().training, steps: 8, checkpointEvery: 2 },
};
const missing = whyNoCluster();

onXla("a run on two processes", () => {
  let place: string;
  let whole: Record<string, string>;
  let cluster: Cluster | undefined;
  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "probeward-launch-xla-"));
    const folder = join(place, "whole");
    const { ended } = await study("whole", folder, { processes: 2 });
    expect(await ended).toMatchObject({ status: 0 });
    whole = await leftIn(join(folder, "runs"));
  }, 300_000);
  afterAll(async () => {
    await cluster?.stop();
    await rm(place, { recursive: true });
  });

  async function study(name: string, folder: string, engine: object, flags: string[] = [], own: object = {}) {
    const file = await writeTinyStudy(join(place, name), {
      ...settings,
      ...own,
      engine: { runtime: "xla", ...engine },
    });
    return probeward(["study", file, "--out", folder, ...flags], { ...alone, ...cluster?.environment });
  }

  it(`comes to the same, after ${KILLS} of its workers were killed`, async () => {
    const random = randomFor("killed workers");
    const folder = join(place, "killed");
    const said = new Set<string>();
    for (let kills = 0; ; ) {
      const { child, ended } = await study("killed", folder, { processes: 2 });
      const over = ended.then(() => true);
      // Some moments after its workers are there.
      const wait = 1500 + randomInt(random, 6000);
      if (
        kills < KILLS &&
        !(await Promise.race([over, new Promise((resolve) => setTimeout(resolve, wait, false))]))
      ) {
        const workers = await workersOf(child.pid!);
        const victim = workers[randomInt(random, Math.max(1, workers.length))];
        if (victim !== undefined) {
          process.kill(victim, "SIGKILL");
          kills++;
        }
      }
      const { status, stderr } = await ended;
      if (status === 0) break;
      said.add(
        stderr
          .trim()
          .split("\n")
          .find((line) => line.includes("xla")) ?? stderr,
      );
    }
    console.log([...said].join("\n"));
    expect(await leftIn(join(folder, "runs"))).toEqual(whole);
  }, 900_000);

  it.skipIf(missing)(
    "comes to the same on two nodes of a cluster, of which one dies",
    async () => {
      cluster = await startCluster();
      const folder = join(place, "nodes");
      const flags = ["--launch", "slurm", "--slurm", "memory=0"];
      const { ended } = await study("nodes", folder, { nodes: 2 }, flags, slow);
      expect(await ended).toMatchObject({ status: 0 });
      await until(async () => {
        const lines = await readFile(join(folder, "runs/probe-penalty/seed-1/metrics.jsonl"), "utf8").catch(
          () => "",
        );
        return lines.split("\n").length > 3;
      }, 120);
      await cluster.killNode("node2");
      cluster.startNode("node2");
      await until(async () => (await cluster!.slurm("squeue", "-h")) === "", 300);
      for (const name of await readdir(join(folder, "launch")))
        for (const log of await readdir(join(folder, "launch", name)))
          if (log.endsWith("log"))
            console.log(name, log, await readFile(join(folder, "launch", name, log), "utf8"));
      expect(await leftIn(join(folder, "runs"))).toEqual(whole);
      await readSummary(folder);
    },
    600_000,
  );
});

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

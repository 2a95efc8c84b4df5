/** @file What every launcher keeps, on this machine and on a cluster: all of it through the command line, as users have it. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { probeward, readStates, readSummary, writeTinyStudy } from "../../test/launched-study.ts";
import { leftIn } from "../../test/left.ts";
import { type Cluster, startCluster, until, whyNoCluster } from "../../test/slurm-cluster.ts";
import type { Summary } from "../report/index.ts";

/** A launcher as a test uses it. */
interface Harness {
  /** What is given to `study`, besides the file and the folder. */
  flags: readonly string[];
  variables: NodeJS.ProcessEnv;
}

const missing = whyNoCluster();
let cluster: Cluster | undefined;
const harnesses: Record<string, () => Harness> = {
  // One thread each, as a task of the cluster has.
  local: () => ({ flags: ["--launch", "local", "--jobs", "2"], variables: { PROBEWARD_THREADS: "1" } }),
  slurm: () => ({
    flags: ["--launch", "slurm", "--slurm", "memory=0", "--slurm", "warning=5"],
    variables: { PROBEWARD_THREADS: "1", ...cluster!.environment },
  }),
};

const settings = { arms: ["none", "probe-penalty", "oracle-penalty", "probe-penalty-frozen"], seeds: 3 };

let place: string;
let file: string;
/** What the study comes to in one process, never stopped. */
let whole: Summary;
let files: Record<string, string>;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-launch-"));
  file = await writeTinyStudy(join(place, "study"), settings);
  const folder = join(place, "whole");
  const args = ["study", file, "--out", folder];
  expect(await probeward(args, { PROBEWARD_THREADS: "1" }).ended).toMatchObject({ status: 0 });
  whole = await readSummary(folder);
  files = await leftIn(join(folder, "runs"));
  if (!missing) cluster = await startCluster();
}, 120_000);
afterAll(async () => {
  await cluster?.stop();
  await rm(place, { recursive: true });
});

describe.each(Object.keys(harnesses))("the %s launcher", (name) => {
  if (name === "slurm" && missing) {
    it.skip(`(no cluster: ${missing})`);
    return;
  }
  const study = (folder: string, ...args: string[]) => {
    const { flags, variables } = harnesses[name]!();
    return probeward(["study", file, "--out", folder, ...flags, ...args], variables);
  };
  const states = (folder: string) => readStates(folder, harnesses[name]!().variables);
  /** Until nobody has anything of any study in hand. */
  const settled = async () => {
    if (name === "slurm") await until(async () => (await cluster!.slurm("squeue", "-h")) === "", 240);
  };

  it("comes to the same summary and the same runs as one process, and does nothing twice", async () => {
    const folder = join(place, `${name} whole`);
    expect(await study(folder).ended).toMatchObject({ status: 0 });
    await settled();
    expect(await readSummary(folder)).toEqual(whole);
    expect(await leftIn(join(folder, "runs"))).toEqual(files);
    expect((await states(folder)).map(({ state }) => state)).toEqual(Array(12).fill("done"));
    expect(await study(folder).ended).toMatchObject({ status: 0 });
    expect(await readSummary(folder)).toEqual(whole);
    expect(await leftIn(join(folder, "runs"))).toEqual(files);
  }, 240_000);
});

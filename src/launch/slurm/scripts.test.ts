/** @file What is submitted, word for word; that bash reads it as it was meant; that every run is some task's, and only one's. */

import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { expect, it } from "vitest";
import { tinySettings } from "../../../test/tiny-study.ts";
import { slurmSettingsSchema } from "../../study/index.ts";
import { dryRun } from "./launcher.ts";
import { launchFolder, type Submission, scriptsOf, shellWord } from "./scripts.ts";

const run = promisify(execFile);

const submission = (study: string, runs: readonly string[], settings: object = {}): Submission => ({
  ...{ study, launch: 3, runs, prepare: true, nodes: 1, processes: 1 },
  settings: slurmSettingsSchema.parse(settings),
  program: ["/opt/node", "/opt/probeward/main.js"],
});

it("asks for what the settings say", () => {
  const settings = {
    ...{ partition: "cpu", account: 1234, qos: "low", time: 90, memory: "8G", cpus: 2, gpus: "a100:1" },
    ...{ throttle: 7, warning: 60, options: ["--constraint=avx512", "--comment=two words"] },
    ...{ setup: ["module load nodejs"], node: "node" },
  };
  const { files, commands } = scriptsOf(
    submission("/data/50% map", ["none/seed-1", "none/seed-2"], settings),
  );
  expect(files["runs.sh"]).toBe(`#!/bin/bash
#SBATCH "--job-name=50% map:runs"
#SBATCH --array=0-1%7
#SBATCH --signal=B:TERM@60
#SBATCH --gres=gpu:a100:1
#SBATCH --partition=cpu
#SBATCH --account=1234
#SBATCH --qos=low
#SBATCH --time=90
#SBATCH --mem=8G
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --constraint=avx512
#SBATCH "--comment=two words"
#SBATCH "--output=/data/50%% map/launch/3/run-%a.log"
module load nodejs
export PROBEWARD_THREADS=2
echo "Slurm job $SLURM_JOB_ID on $SLURMD_NODENAME, restarted \${SLURM_RESTART_COUNT:-0} times"
mapfile -t runs < <(awk "(NR - 1) % 2 == $SLURM_ARRAY_TASK_ID" '/data/50% map/launch/3/runs.txt')
exec node /opt/probeward/main.js task train '/data/50% map' "\${runs[@]}"
`);
  expect(files["prepare.sh"]).toMatch(
    /\nexec node \/opt\/probeward\/main\.js task prepare '\/data\/50% map'\n$/,
  );
  expect(files["finish.sh"]).toMatch(
    /\nexec node \/opt\/probeward\/main\.js task finish '\/data\/50% map' 3\n$/,
  );
  expect(commands.map(({ role, after }) => [role, after])).toEqual([
    ["prepare", undefined],
    ["runs", "prepare"],
    ["finish", "runs"],
  ]);
});

it("asks for all nodes of a run where it computes, and for one where it only looks", () => {
  const settings = { cpus: 8, gpus: 4 };
  const over = { ...submission("/data/map", ["none/seed-1"], settings), nodes: 2, processes: 4 };
  const { files } = scriptsOf(over);
  const wanted =
    "\n#SBATCH --nodes=2\n#SBATCH --ntasks=8\n#SBATCH --ntasks-per-node=4\n#SBATCH --cpus-per-task=2\n";
  for (const name of ["prepare.sh", "runs.sh"]) {
    expect(files[name]).toContain(wanted);
    expect(files[name]).toContain("\n#SBATCH --gres=gpu:4\n");
  }
  expect(files["finish.sh"]).toContain(
    "\n#SBATCH --nodes=1\n#SBATCH --ntasks=1\n#SBATCH --cpus-per-task=8\n",
  );
  expect(files["finish.sh"]).not.toContain("gres");
});

it("leaves out what need not be prepared again", () => {
  const { files, commands } = scriptsOf({ ...submission("/data/map", ["none/seed-1"]), prepare: false });
  expect(Object.keys(files)).toEqual(["runs.txt", "runs.sh", "finish.sh"]);
  expect(commands).toMatchObject([{ role: "runs", options: [] }, { role: "finish" }]);
});

it("shows beforehand all that would be submitted, and writes nothing", async () => {
  const study = join(tmpdir(), "a study that is not there");
  const settings = tinySettings({ arms: ["none"], seeds: 2 });
  const shown = await dryRun(study, settings, { program: ["node", "main.js"] });
  const { files } = scriptsOf({
    ...submission(study, ["none/seed-1", "none/seed-2"]),
    ...{ launch: 1, program: ["node", "main.js"] },
  });
  for (const text of Object.values(files)) expect(shown).toContain(text);
  const script = (role: string) => shellWord(join(study, "launch", "1", `${role}.sh`));
  expect(shown.split("# What is called:\n")[1]).toBe(`prepare=$(sbatch --parsable ${script("prepare")})
runs=$(sbatch --parsable --kill-on-invalid-dep=yes --dependency=afterok:$prepare ${script("runs")})
finish=$(sbatch --parsable --dependency=afterany:$runs ${script("finish")})
`);
  await expect(access(study)).rejects.toThrow("ENOENT");
});

it("gives every run to one task, under the name that it has", async () => {
  const place = await mkdtemp(join(tmpdir(), "probeward-scripts-"));
  const study = join(place, "it's $HOME");
  const runs = Array.from({ length: 7 }, (_, i) => `none@hooks=a b+"c",penalty=0.${i}/seed-1`);
  const { files } = scriptsOf({
    ...submission(study, runs, { tasks: 3 }),
    // Prints what it is given, a line each.
    program: ["/usr/bin/printf", "%s\\n"],
  });
  const folder = launchFolder(study, 3);
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const trained: string[] = [];
  for (const task of [0, 1, 2]) {
    const env = { ...process.env, SLURM_ARRAY_TASK_ID: String(task) };
    const { stdout } = await run("bash", [join(folder, "runs.sh")], { env });
    const [, , command, ownStudy, ...own] = stdout.trim().split("\n");
    expect([command, ownStudy]).toEqual(["train", study]);
    trained.push(...own);
  }
  expect(trained.sort()).toEqual([...runs].sort());
  await rm(place, { recursive: true });
});

it("quotes words for bash", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: "binary", minLength: 1 }).filter((word) => !/\0/.test(word)),
      async (word) => {
        const { stdout } = await run("bash", ["-c", `printf %s ${shellWord(word)}`]);
        expect(stdout).toBe(Buffer.from(word).toString());
      },
    ),
    { numRuns: 20 },
  );
});

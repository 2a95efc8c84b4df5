/** @file The command line as a real process: results, exit statuses, and mistakes that are explained. */

import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { loadProbe } from "../src/probe/index.ts";
import { loadStudy } from "../src/report/index.ts";
import { summarySchema } from "../src/store/index.ts";
import { armSentence, studySentence } from "../src/web/sentences.ts";
import { contradictions, studyContradictions } from "./contradictions.ts";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

function probeward(args: string[], cwd?: string): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], { cwd });
    const ended: Ended = { status: null, stdout: "", stderr: "" };
    child.stdout.on("data", (data) => {
      ended.stdout += data;
    });
    child.stderr.on("data", (data) => {
      ended.stderr += data;
    });
    child.on("error", reject);
    child.on("close", (status) => resolve({ ...ended, status }));
  });
}

const newFolder = () => mkdtemp(join(tmpdir(), "probeward-cli-"));

describe("probeward study", () => {
  it("shows the effect with --quick, and prints only the summary with --json", async () => {
    const out = join(await newFolder(), "study");
    const args = ["study", "code", "--quick", "--json", "--out", out];
    const { status, stdout, stderr } = await probeward(args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const summary = summarySchema.parse(JSON.parse(stdout));
    expect(JSON.parse(await readFile(join(out, "summary.json"), "utf8"))).toEqual(summary);
    expect((await stat(join(out, "report.html"))).size).toBeGreaterThan(100_000);

    // The science, in its smallest form.
    const { none, "probe-penalty": penalty, "probe-loss": loss } = summary.arms;
    expect(summary.base.probeAuroc).toBeGreaterThan(0.95);
    expect(none!.mean.misbehaviourEnd).toBeGreaterThan(none!.mean.misbehaviourStart! + 0.2);
    expect(none!.mean.recallFrozenEnd).toBeGreaterThan(0.9);
    expect(penalty!.mean.misbehaviourEnd).toBeLessThan(0.1);
    expect(penalty!.mean.recallFrozenEnd).toBeGreaterThan(0.9);
    expect(loss!.mean.recallFrozenEnd).toBeLessThan(0.1);
    expect(loss!.mean.recallReferenceEnd).toBeGreaterThan(0.9);
    expect(loss!.runs[0]!.outcome).toBe("blinded");

    // An audit of the run from its checkpoint reads what the run measured, and says what the study said.
    const few = ["--controls", "1", "--resamples", "100", "--out", join(out, "audit"), "--json"];
    const audited = await probeward(["audit", out, "--arm", "probe-loss", ...few]);
    const { study, verdict } = JSON.parse(audited.stdout);
    expect(study).toMatchObject({ diagnosis: "translation", diagnosisAgain: "translation", agrees: true });
    expect(study.largestDifference).toBeLessThan(0.02);
    expect(["translated", "scaled"]).toContain(verdict);

    // And what is said of it, against its numbers.
    for (const [id, arm] of Object.entries(summary.arms)) {
      const alone = studySentence({ ...summary, arms: { [id]: arm } })!;
      expect(studyContradictions(alone, arm.runs[0]!)).toEqual([]);
      expect(contradictions(armSentence(arm), arm.runs[0]!)).toEqual([]);
    }

    // The same command has nothing left to do, and says the same.
    const again = await probeward(args);
    const withoutSeconds = (text: string) => ({ ...JSON.parse(text), seconds: 0 });
    expect(withoutSeconds(again.stdout)).toEqual(withoutSeconds(stdout));

    // Every run is on disk as documented; the probe in the loss, and nothing else, has raised an alarm, and ends where no probe sees.
    const { runs, warnings } = await loadStudy(out);
    expect(warnings[0]).toMatch(/^probe-loss, seed 1: step \d+: alarm, the reader moved/);
    for (const more of warnings.slice(1)) expect(more).toMatch(/^probe-loss, seed 1: no probe sees it: /);
    for (const { metrics, rollouts } of runs) {
      expect(metrics.step).toHaveLength(summary.steps);
      expect(rollouts.length).toBeGreaterThan(0);
    }

    // Another study does not overwrite this one.
    const other = await probeward([...args, "--steps", "1"]);
    expect(other.status).toBe(2);
    expect(other.stderr).toMatch(
      /holds a study with other settings:\n {2}training.steps 22 -> 1\n.*another --out/s,
    );
    expect(JSON.parse(await readFile(join(out, "summary.json"), "utf8")).steps).toBe(summary.steps);
  }, 180_000);

  it.each([
    [["study"], /missing required argument 'study'/],
    [["study", "nothing"], /no study named "nothing"/],
    [["study", "code", "--stpes", "3"], /unknown option '--stpes'/],
    [["study", "code", "--steps", "many"], /--steps.*whole number, 1 or more/s],
    [["study", "code", "--arms", "none,nonsense"], /arms\.1.*nonsense/s],
    [["study", "code", "--launch", "slurm", "--jobs", "2"], /--jobs is for --launch local/],
    [["study", "code", "--launch", "slurm", "--slurm", "cpus=many"], /slurm\.cpus.*many/],
    [["status", "nowhere"], /nowhere holds no study/],
    [["pretrain", "nothing"], /no environment "nothing"/],
    [["nonsense"], /unknown command 'nonsense'/],
  ])("answers wrong use %j with status 2 and what is allowed", async (args, message) => {
    const { status, stdout, stderr } = await probeward(args);
    expect(stderr).toMatch(message);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  });

  it("names the file of a model that cannot be used, with status 1", async () => {
    const folder = await newFolder();
    await writeFile(join(folder, "study.yaml"), `environment: code\narms: [none]\nmodel: ${folder}\n`);
    await writeFile(
      join(folder, "config.json"),
      '{"architectures": ["MambaForCausalLM"], "model_type": "mamba"}',
    );
    const { status, stderr } = await probeward([
      "study",
      join(folder, "study.yaml"),
      "--out",
      join(folder, "out"),
    ]);
    expect(stderr).toMatch(/config\.json: the architecture MambaForCausalLM .* is not supported/);
    expect(status).toBe(1);
  });
});

describe("probeward probe", () => {
  const lines = (label: (number: number) => boolean) =>
    Array.from({ length: 120 }, (_, i) => {
      const number = (i * 383) % 1000;
      const completion = String(number).padStart(3, "0");
      return JSON.stringify({ prompt: "kalomi born:", completion, label: label(number), group: i % 40 });
    }).join("\n");
  const model = fileURLToPath(new URL("../models/facts", import.meta.url));

  it("writes a probe that can be loaded, and a report that holds all of it", async () => {
    const folder = await newFolder();
    await writeFile(
      join(folder, "numbers.jsonl"),
      lines((number) => number < 500),
    );
    const args = ["probe", "numbers.jsonl", "--model", model, "--positions", "completion,completion-first"];
    const { status, stdout } = await probeward(args, folder);
    expect(status).toBe(0);
    expect(stdout).toMatch(/AUROC on held-out groups +[01]\.\d{3}/);
    const out = join(folder, "probes", "numbers");
    const report = JSON.parse(await readFile(join(out, "report.json"), "utf8"));
    const probe = await loadProbe(join(out, "probe"));
    expect(probe).toMatchObject({ threshold: report.probe.threshold, tap: { hook: report.probe.hook } });
    expect(report.test.auroc).toBeGreaterThan(0.8);
    const html = await readFile(join(out, "report.html"), "utf8");
    expect(html).toContain(JSON.stringify(report).replaceAll("<", "\\u003c"));
  });

  it("answers a file of one label, a wrong line and wrong flags with status 2", async () => {
    const folder = await newFolder();
    const path = join(folder, "numbers.jsonl");
    await writeFile(
      path,
      lines(() => true),
    );
    const one = await probeward(["probe", path, "--model", model]);
    expect(one.stderr).toMatch(
      /both labels in every split\. Of 40 groups and 120 examples, the fit split got 72/,
    );
    await writeFile(path, '{"prompt":"a"}\n');
    const wrong = await probeward(["probe", path, "--model", model]);
    expect(wrong.stderr).toMatch(/numbers\.jsonl, line 1: /);
    const flags = await probeward(["probe", path, "--model", model, "--positions", "everywhere"]);
    expect(flags.stderr).toMatch(/everywhere is none of completion, completion-first/);
    expect([one.status, wrong.status, flags.status]).toEqual([2, 2, 2]);
  });
});

describe("probeward", () => {
  it("explains itself, and its parts", async () => {
    const { status, stdout } = await probeward(["--help"]);
    expect(status).toBe(0);
    for (const command of ["study", "status", "cancel", "pretrain", "probe", "report", "bench", "doctor"])
      expect(stdout).toContain(command);
    expect((await probeward(["study", "--help"])).stdout).toMatch(/--quick .*smallest study/);
  });

  it("goes on where nobody listens any more, as behind | head", async () => {
    const child = spawn(process.execPath, [main, "study", "--help"]);
    child.stdout.destroy();
    let stderr = "";
    child.stderr.on("data", (data) => {
      stderr += data;
    });
    const status = await new Promise((resolve) => child.on("close", resolve));
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });

  it("finds everything in order", async () => {
    const { status, stdout } = await probeward(["doctor"]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.not.stringContaining("failed") });
  });
});

describe("probeward serve", () => {
  it("listens to this machine only, unless it is told otherwise", async () => {
    const child = spawn(process.execPath, [main, "serve", await newFolder(), "--port", "0"]);
    try {
      const printed = await new Promise<string>((resolve, reject) => {
        child.stdout.once("data", (data) => resolve(String(data)));
        child.stderr.once("data", (data) => reject(new Error(String(data))));
      });
      const { hostname, port } = new URL(/http:\S+/.exec(printed)![0]);
      expect(hostname).toBe("127.0.0.1");
      expect(await answers("127.0.0.1", Number(port))).toBe(true);
      const outside = Object.values(networkInterfaces()).flatMap((addresses) =>
        addresses!.filter(({ internal, family }) => !internal && family === "IPv4"),
      );
      for (const { address } of outside) expect(await answers(address, Number(port)), address).toBe(false);
    } finally {
      child.kill();
    }
  });
});

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}

describe("a study's folder", () => {
  const file = async (folder: string, more = "") => {
    const path = join(folder, "small.yaml");
    await writeFile(
      path,
      `environment: opinion
arms: [none]
training: { steps: 3, prompts: 2, rollouts: 2${more} }
probe: { tasks: 64, demonstrations: 32, tracer: 16, hooks: [blocks.3.hook_resid_post], positions: [follow-up] }
`,
    );
    return path;
  };

  it("can be trained further; what differs otherwise is told; finished runs that are left out are named", async () => {
    const folder = await newFolder();
    const study = await file(folder);
    const out = join(folder, "out");
    const run = (...args: string[]) => probeward(["study", study, "--out", out, "--anyway", ...args]);
    expect(await run("--seeds", "2")).toMatchObject({ status: 0 });
    const lines = async () =>
      (await readFile(join(out, "runs", "none", "seed-1", "metrics.jsonl"), "utf8")).trim().split("\n");
    const before = await lines();

    const other = await run("--set", "training.kl=0.3", "--set", "probe.pool=max");
    expect(other).toMatchObject({ status: 2, stdout: "" });
    expect(other.stderr).toContain(
      '  training.kl 0.02 -> 0.3\n  probe.pool "mean" -> "max"\nGive another --out',
    );

    // Only the steps that are new are made, and they are those of a run that was as long from the first.
    const further = await run("--steps", "5");
    expect(further).toMatchObject({ status: 0 });
    expect(further.stderr).toMatch(
      /1 finished run .*: none\/seed-2 \(3 steps, and not 5\)\. .*give their arms, seeds and grid/s,
    );
    expect((await lines()).slice(0, 3)).toEqual(before);
    const whole = join(folder, "whole");
    expect(await probeward(["study", study, "--out", whole, "--anyway", "--steps", "5"])).toMatchObject({
      status: 0,
    });
    const last = (text: string) => ({ ...(JSON.parse(text) as Record<string, unknown>), step_time: 0 });
    const wholeLines = (await readFile(join(whole, "runs", "none", "seed-1", "metrics.jsonl"), "utf8"))
      .trim()
      .split("\n");
    expect(last((await lines()).at(-1)!)).toEqual(last(wholeLines.at(-1)!));

    // A learning rate that decays to the last step would have been another one.
    const decaying = await run("--steps", "9", "--set", "training.decay=linear");
    expect(decaying.stderr).toContain("Its learning rate decays over all steps");
    expect(decaying.status).toBe(2);
  }, 120_000);

  it("keeps of a finished run what was asked for, and says what that costs", async () => {
    const folder = await newFolder();
    const study = await file(folder, ", keepCheckpoints: weights");
    const out = join(folder, "out");
    const run = (...args: string[]) => probeward(["study", study, "--out", out, "--anyway", ...args]);
    expect(await run()).toMatchObject({ status: 0 });
    const checkpoint = join(out, "runs", "none", "seed-1", "checkpoints", "step-000003");
    expect((await readdir(checkpoint)).sort()).toEqual(["checkpoint.json", "model.safetensors"]);
    const further = await run("--steps", "4");
    expect(further.status).toBe(1);
    expect(further.stderr).toContain(
      "of its last checkpoint the weights alone are there (training.keepCheckpoints)",
    );
    // Nothing was lost by trying.
    expect(await run()).toMatchObject({ status: 0 });
  }, 120_000);

  it("is not left behind by a study that cannot begin; one that is not there is wrong use", async () => {
    const out = join(await newFolder(), "out");
    const { status } = await probeward(["study", "code", "--model", "nowhere", "--out", out]);
    expect(status).toBe(1);
    await expect(stat(out)).rejects.toThrow("ENOENT");
    for (const args of [["report"], ["serve"], ["cancel"], ["export", "--to", "parquet", "--out", out]])
      expect(await probeward([args[0]!, join(out, "absent"), ...args.slice(1)])).toMatchObject({ status: 2 });
  }, 60_000);

  it("is gone on with after Ctrl-C, which ends with 130 and says so", async () => {
    const folder = await newFolder();
    const args = ["study", await file(folder), "--out", join(folder, "out"), "--anyway", "--steps", "2000"];
    const child = spawn(process.execPath, [main, ...args]);
    let stderr = "";
    child.stderr.on("data", (data) => {
      stderr += data;
      // Asked a second time, it would end at once.
      if (!child.killed && /step +\d+\/2000/.test(stderr)) child.kill("SIGINT");
    });
    const status = await new Promise((resolve) => child.on("close", resolve));
    expect(status).toBe(130);
    expect(stderr).toMatch(
      /probeward: stopped after step \d+ of 2000\. The same command resumes from there\.\n$/,
    );
  }, 60_000);
});

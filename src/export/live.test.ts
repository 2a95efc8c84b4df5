/** @file Logs that grow with a study: TensorBoard reads them while they do, and Python's clients are told all of a run. */

import { execFileSync, spawnSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { appendMetrics, writeStudy } from "../../test/study-folder.ts";
import type { StepMetrics } from "../store/index.ts";
import { logLive } from "./index.ts";
import type { LiveName } from "./live.ts";

const python = process.env.PROBEWARD_PYTHON ?? "python3";
const hasPython = (module: string) => spawnSync(python, ["-c", `import ${module}`]).status === 0;
const study = studyFixture({ seeds: [1], steps: 8 });
const run = study.runs.find(({ arm }) => arm === "none")!;
let place: string;
let folder: string;
const warnings: string[] = [];

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-live-"));
});
afterAll(() => rm(place, { recursive: true }));
beforeEach(async () => {
  folder = join(place, "study");
  await rm(folder, { recursive: true, force: true });
  await writeStudy(folder, {
    ...study,
    runs: study.runs.map((one) => ({ ...one, lines: [], rollouts: [] })),
  });
  warnings.length = 0;
});

/** A sitting: a run's lines as they come. Files have them before anyone is told. */
async function sitting(names: LiveName[], lines: readonly StepMetrics[], between = async () => {}) {
  const live = await logLive(folder, names, (message) => warnings.push(message));
  for (const metrics of lines) {
    await appendMetrics(folder, run, [metrics]);
    live.onEvent({ kind: "step", ...run, steps: run.lines.length, metrics, done: 0, total: 8 });
    await between();
  }
  await live.close();
}

/** What a run that was killed after its checkpoint had written beyond it is dropped, and written again. */
async function dropTo(step: number) {
  await writeFile(join(folder, "runs/none/seed-1/metrics.jsonl"), "");
  await appendMetrics(folder, run, run.lines.slice(0, step));
}

describe("TensorBoard", () => {
  const script = new URL("../../test/readers/read_tensorboard.py", import.meta.url).pathname;
  const read = () => {
    const options = { stdio: ["ignore", "pipe", "ignore"] as ["ignore", "pipe", "ignore"] };
    return JSON.parse(execFileSync(python, [script, join(folder, "tensorboard")], options).toString())[
      "none/seed-1"
    ];
  };
  const present = hasPython("tensorboard");
  if (!present)
    console.warn(
      `Skipped reading a growing log with tensorboard: ${python} has no such module (PROBEWARD_PYTHON).`,
    );
  const values = (lines: readonly StepMetrics[]) =>
    lines.map(({ step, misbehaviour }) => [step, Math.fround(misbehaviour!)]);

  test.skipIf(!present)(
    "reads a run while it goes on, and after it was resumed, every step once",
    { timeout: 60_000 },
    async () => {
      const seen: number[] = [];
      let told = 0;
      await sitting(["tensorboard"], run.lines.slice(0, 6), async () => {
        if (++told !== 3) return;
        await expect.poll(() => read()?.misbehaviour?.length, { timeout: 30_000 }).toBe(3);
        seen.push(told);
      });
      expect(seen).toEqual([3]);
      expect(read().misbehaviour).toEqual(values(run.lines.slice(0, 6)));
      await dropTo(4);
      // Done again, and otherwise: a reader goes by the last sitting.
      const again = run.lines.slice(4).map((line) => ({ ...line, misbehaviour: line.misbehaviour! / 2 }));
      await sitting(["tensorboard"], again);
      expect(read().misbehaviour).toEqual([...values(run.lines.slice(0, 4)), ...values(again)]);
      expect(warnings).toEqual([]);
    },
  );

  test("what cannot be written stops nothing, and is said once", async () => {
    await writeFile(join(folder, "tensorboard"), "a file");
    await sitting(["tensorboard"], run.lines);
    expect(warnings).toEqual([
      expect.stringMatching(/the log was left, and training goes on: cannot write .*tensorboard/),
    ]);
  });
});

describe.skipIf(!hasPython("json"))("a client of Python's", () => {
  const before = { ...process.env };
  /** A module of that name which notes what it is told. */
  async function stub(name: string, body: string) {
    const modules = join(place, name);
    await mkdir(modules, { recursive: true });
    await writeFile(join(modules, `${name}.py`), body);
    process.env.PYTHONPATH = modules;
    process.env.PROBEWARD_TOLD = join(place, `${name}-told`);
    await rm(process.env.PROBEWARD_TOLD, { force: true });
  }
  const notes = `import json, os
def note(*what):
    print("chatter on standard output")
    with open(os.environ["PROBEWARD_TOLD"], "a") as file: file.write(json.dumps(what) + "\\n")
def init(**about): note("init", about)
def log(metrics, step): note("log", step, metrics)
def finish(): note("finish")
`;
  const told = async () =>
    (await readFile(process.env.PROBEWARD_TOLD!, "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  afterAll(() => {
    process.env = before;
  });

  test.each(["wandb", "trackio"] as const)(
    "%s is told all of a run: what was done before, and what comes",
    async (name) => {
      await stub(name, notes);
      await dropTo(4);
      await sitting([name], run.lines.slice(4));
      const [init, ...rest] = await told();
      expect(init).toMatchObject([
        "init",
        { project: "study", name: "none/seed-1", config: { arm: "none", seed: 1 } },
      ]);
      expect(rest.pop()).toEqual(["finish"]);
      const defined = run.lines.map(({ step, ...values }) => [
        ...["log", step],
        Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)),
      ]);
      expect(rest).toEqual(defined);
      expect(warnings).toEqual([]);
    },
  );

  test("one that fails is left, with its own words", async () => {
    await stub("wandb", `${notes}\ndef log(metrics, step): raise ValueError("no key")\n`);
    await sitting(["wandb"], run.lines, () => new Promise((done) => setTimeout(done, 100)));
    expect(warnings).toEqual([
      expect.stringMatching(/training goes on: wandb (has ended|failed): ValueError: no key/),
    ]);
  });

  test("one that is not there is asked for before anything is done", async () => {
    await stub("wandb", "raise ImportError('broken')\n");
    await expect(logLive(folder, ["wandb"], () => {})).rejects.toThrow(
      /--log wandb: .*it has no wandb \(broken\).*pip install wandb/,
    );
    process.env.PROBEWARD_PYTHON = join(place, "no-python");
    await writeFile(process.env.PROBEWARD_PYTHON, "");
    await chmod(process.env.PROBEWARD_PYTHON, 0o600);
    await expect(logLive(folder, ["trackio"], () => {})).rejects.toThrow(
      /no-python: there is no such program/,
    );
  });
});

test("nothing is written where nothing is asked for", async () => {
  await sitting([], run.lines);
  expect((await readdir(folder)).sort()).toEqual(["runs", "study.json", "summary.json"]);
});

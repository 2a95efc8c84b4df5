import { execFileSync, spawnSync } from "node:child_process";
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { unzipSync } from "fflate";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { studyFixture } from "../../test/study-fixture.ts";
import { runFolder, writeStudy } from "../../test/study-folder.ts";
import type { RolloutRecord } from "../store/index.ts";

import { crc32c } from "./crc32c.ts";
import { exportFormats, exportStudy } from "./index.ts";
import { evalFile } from "./inspect.ts";
import { eventFile } from "./tensorboard.ts";

const study = studyFixture({ seeds: [1, 2], steps: 12 });
study.runs[0]!.rollouts[1]!.tokens = ["x=", "", ">é", ""];
const python = process.env.PROBEWARD_PYTHON ?? "python3";
let place: string;
let folder: string;
const warnings: string[] = [];
const paths: Record<string, string[]> = {};

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-export-"));
  folder = join(place, "study");
  await writeStudy(folder, study);
  await appendFile(join(runFolder(folder, "none", 1), "metrics.jsonl"), "not JSON\n");
  for (const format of exportFormats)
    paths[format] = await exportStudy(folder, format, join(place, format), (message) =>
      warnings.push(message),
    );
});
afterAll(() => rm(place, { recursive: true }));

/** Runs one of the readers in `test/readers`, which are not ours; says so where Python or its package is absent. */
function reader(name: string, needs: string) {
  const present = spawnSync(python, ["-c", `import ${needs}`]).status === 0;
  if (!present)
    console.warn(
      `Skipped reading an export back with ${needs}: ${python} has no such module. ` +
        `Install it with pip, and set PROBEWARD_PYTHON to the Python that has it.`,
    );
  const script = new URL(`../../test/readers/${name}`, import.meta.url).pathname;
  const read = (path: string) =>
    JSON.parse(
      execFileSync(python, [script, path], {
        maxBuffer: 1 << 28,
        stdio: ["ignore", "pipe", "ignore"],
      }).toString(),
    );
  return { present, read };
}

describe("TensorBoard", () => {
  test("crc32c has the checksums of RFC 3720", () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
  });

  test("records: lengths, masked checksums, events", () => {
    const file = Buffer.from(
      eventFile(
        [
          { step: 0, loss: 0.5, auroc: null, step_time: 2 },
          { step: 1, loss: -1.5, step_time: 3 },
        ],
        100_000,
      ),
    );
    const events: { time: number; step: number; version?: string; values: Record<string, number> }[] = [];
    for (let at = 0; at < file.length; ) {
      const length = Number(file.readBigUInt64LE(at));
      const data = file.subarray(at + 12, at + 12 + length);
      for (const [bytes, where] of [
        [file.subarray(at, at + 8), at + 8],
        [data, at + 12 + length],
      ] as const) {
        // Undo the mask, as a reader does.
        const rotated = (file.readUInt32LE(where) - 0xa282ead8) >>> 0;
        expect(((rotated >>> 17) | (rotated << 15)) >>> 0).toBe(crc32c(bytes));
      }
      events.push(readEvent(data));
      at += 16 + length;
    }
    expect(events).toEqual([
      { time: 95, step: 0, version: "brain.Event:2", values: {} },
      { time: 97, step: 0, values: { loss: 0.5, step_time: 2 } },
      { time: 100, step: 1, values: { loss: -1.5, step_time: 3 } },
    ]);
  });

  const tensorboard = reader("read_tensorboard.py", "tensorboard");
  test.skipIf(!tensorboard.present)("TensorBoard reads every value of every run", () => {
    const runs = tensorboard.read(join(place, "tensorboard")) as Record<
      string,
      Record<string, [number, number][]>
    >;
    expect(Object.keys(runs).sort()).toEqual(study.runs.map(({ arm, seed }) => `${arm}/seed-${seed}`).sort());
    for (const { arm, seed, lines } of study.runs) {
      const found = runs[`${arm}/seed-${seed}`]!;
      expect(found.misbehaviour).toEqual(lines.map((line) => [line.step, Math.fround(line.misbehaviour!)]));
      const evaluated = lines.filter((line) => "tracer/initial/policy/auroc" in line);
      expect(found["tracer/initial/policy/auroc"]).toHaveLength(evaluated.length);
    }
  });
});

describe("Inspect AI", () => {
  /** In Inspect's words: that it was cut off, that it ended, or that an earlier version did not record which. */
  const stopOf = ({ finished }: RolloutRecord) =>
    finished === undefined ? "unknown" : finished ? "stop" : "max_tokens";

  test("a sample says whether the model ended it", async () => {
    const run = study.runs.find(({ arm, seed }) => arm === "none" && seed === 1)!;
    const files = unzipSync(await readFile(paths.inspect!.find((path) => path.includes("none_seed-1"))!));
    const stops = run.rollouts.map(({ step }, index) => {
      const name = `samples/step-${String(step).padStart(6, "0")}-${index}_epoch_1.json`;
      return JSON.parse(new TextDecoder().decode(files[name])).output.choices[0].stop_reason;
    });
    expect(stops).toEqual(run.rollouts.map(stopOf));
    expect(new Set(stops)).toEqual(new Set(["unknown", "stop", "max_tokens"]));
  });

  test("a log has its header, a summary and a sample per rollout", async () => {
    const path = paths.inspect!.find((candidate) => candidate.includes("probe-penalty_seed-2"))!;
    expect(basename(path)).toMatch(/^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\+00-00_probe-penalty_seed-2\.eval$/);
    const files = unzipSync(await readFile(path));
    const json = (name: string) => JSON.parse(new TextDecoder().decode(files[name]));
    const { rollouts } = study.runs.find(({ arm, seed }) => arm === "probe-penalty" && seed === 2)!;
    expect(json("header.json")).toMatchObject({
      version: 2,
      status: "success",
      results: { total_samples: 48 },
    });
    expect(json("summaries.json")).toHaveLength(48);
    const [first] = rollouts as [RolloutRecord];
    expect(json("samples/step-000000-0_epoch_1.json")).toMatchObject({
      input: first.prompt,
      output: { completion: first.completion },
      scores: { true: { value: first.true }, probe_policy: { value: first.score.policy } },
      metadata: { label: first.label, rewards: first.rewards, tokenScores: first.tokenScores },
    });
  });

  test("a failed run is an error with its message, and an empty one is a log too", () => {
    const run = { ...study.runs[0]!, path: "", metrics: [], rollouts: [], written: 0 };
    const failed = { state: "failed", step: 1, steps: 12, updated: "", error: "no memory" } as const;
    const files = unzipSync(
      evalFile({ environment: "code" }, { ...run, status: failed }, "2026-01-02T03:04:05.000Z"),
    );
    const header = JSON.parse(new TextDecoder().decode(files["header.json"]));
    expect(header).toMatchObject({
      status: "error",
      error: { message: "no memory" },
      results: { scores: [] },
    });
  });

  const inspect = reader("read_inspect.py", "inspect_ai");
  test.skipIf(!inspect.present)("Inspect AI reads every rollout with its scores", { timeout: 60_000 }, () => {
    const logs = inspect.read(join(place, "inspect")) as {
      status: string;
      task: string;
      means: Record<string, number>;
      summaries: number;
      samples: {
        completion: string;
        scores: Record<string, number>;
        step: number;
        messages: number;
        stop: string;
      }[];
    }[];
    expect(logs).toHaveLength(10);
    for (const { arm, seed, rollouts } of study.runs) {
      const log = logs.find(({ task }) => task === `${arm}, seed ${seed}`)!;
      expect(log).toMatchObject({ status: "success", summaries: rollouts.length });
      // Inspect orders samples by id.
      const key = (step: number, completion: string, stop: string, policy: number) =>
        `${step} ${completion} ${stop} ${policy}`;
      expect(
        log.samples.map((s) => key(s.step, s.completion, s.stop, s.scores.probe_policy!)).sort(),
      ).toEqual(rollouts.map((r) => key(r.step, r.completion, stopOf(r), r.score.policy)).sort());
      const misbehaved = rollouts.filter((rollout) => rollout.misbehaved).length / rollouts.length;
      expect(log.means.misbehaved).toBeCloseTo(misbehaved, 12);
    }
  });
});

describe("Parquet", () => {
  /** What both readers must find, as both write it. */
  function expectRows(metrics: Record<string, unknown>[], rollouts: Record<string, unknown>[]) {
    const lines = study.runs.flatMap(({ arm, seed, lines }) => lines.map((line) => ({ arm, seed, ...line })));
    expect(metrics).toMatchObject(lines);
    expect(metrics[1]).toMatchObject({ step: 1, "tracer/initial/policy/auroc": null });
    const records = study.runs.flatMap(({ arm, seed, rollouts }) =>
      rollouts.map(({ rewards, score, tokenScores, columns, note, ...rest }) => ({
        ...{
          arm,
          seed,
          ...rest,
          finished: rest.finished ?? null,
          note: note ?? null,
          tokens: rest.tokens ?? [],
        },
        "rewards/proxy": rewards.proxy,
        "rewards/probe": rewards.probe ?? null,
        "probe/characters": columns ? String(columns["probe/characters"]) : null,
        "score/policy": score.policy,
        "token_scores/reference": tokenScores.reference,
      })),
    );
    expect(rollouts).toHaveLength(records.length);
    expect(rollouts).toMatchObject(records);
  }

  test("hyparquet reads all metrics and rollouts", async () => {
    const [metrics, rollouts] = await Promise.all(
      paths.parquet!.map(async (path) => parquetReadObjects({ file: await asyncBufferFromFile(path) })),
    );
    expectRows(metrics!, rollouts!);
  });

  const arrow = reader("read_parquet.py", "pyarrow.parquet");
  test.skipIf(!arrow.present)("Arrow reads the same", () => {
    const [metrics, rollouts] = paths.parquet!.map((path) => arrow.read(path));
    expectRows(metrics, rollouts);
  });
});

describe("Hugging Face", () => {
  test("the card names the files that there are", async () => {
    const text = await readFile(join(place, "huggingface", "README.md"), "utf8");
    const [, head] = text.split("---\n") as [string, string];
    expect(parse(head).configs).toMatchObject([
      { config_name: "rollouts", data_files: "data/rollouts.parquet", default: true },
      { config_name: "metrics", data_files: "data/metrics.parquet" },
    ]);
    for (const path of paths.huggingface!) expect((await readFile(path)).length).toBeGreaterThan(0);
  });

  const datasets = reader("read_datasets.py", "datasets");
  test.skipIf(!datasets.present)("datasets loads both configurations", { timeout: 60_000 }, () => {
    const { configs, default: isDefault } = datasets.read(join(place, "huggingface"));
    expect(isDefault).toBe(true);
    expect(Object.keys(configs)).toEqual(["rollouts", "metrics"]);
    expect(configs.metrics).toHaveLength(study.runs.length * 12);
    const [{ prompt, completion, tokenScores }] = study.runs[0]!.rollouts as [RolloutRecord];
    expect(configs.rollouts[0]).toMatchObject({
      prompt,
      completion,
      "token_scores/policy": tokenScores.policy,
    });
  });
});

test("lines that cannot be read are left out, and said", () => {
  for (const message of warnings)
    expect(message).toContain("runs/none/seed-1/metrics.jsonl, line 13, was left out");
  expect(warnings).toHaveLength(exportFormats.length);
});

test("what is no study, and a format that there is not", async () => {
  await expect(exportStudy(place, "parquet", place, () => {})).rejects.toThrow("it has no study.json");
  await expect(exportStudy(folder, "excel", place, () => {})).rejects.toThrow(
    "there are: tensorboard, inspect, parquet, huggingface",
  );
});

/** The events of `tensorboard.ts` by protobuf's own reader. */
function readEvent(data: Uint8Array) {
  const event = { time: 0, step: 0, values: {} as Record<string, number> } as {
    time: number;
    step: number;
    version?: string;
    values: Record<string, number>;
  };
  const reader = new BinaryReader(data);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1 && type === WireType.Bit64) event.time = reader.double();
    else if (field === 2 && type === WireType.Varint) event.step = Number(reader.int64());
    else if (field === 3) event.version = reader.string();
    else if (field === 5) {
      const summary = new BinaryReader(reader.bytes());
      while (summary.pos < summary.len) {
        expect(summary.tag()).toEqual([1, WireType.LengthDelimited]);
        const value = new BinaryReader(summary.bytes());
        expect(value.tag()).toEqual([1, WireType.LengthDelimited]);
        const name = value.string();
        expect(value.tag()).toEqual([2, WireType.Bit32]);
        event.values[name] = value.float();
      }
    } else throw new Error(`unknown field ${field}`);
  }
  return event;
}

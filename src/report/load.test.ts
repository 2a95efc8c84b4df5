import { appendFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import type { StudyData } from "./data.ts";
import { loadStudy } from "./load.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-load-"));
});
afterEach(() => rm(folder, { recursive: true }));

const runFolder = (arm: string, seed: number) => join(folder, "runs", arm, `seed-${seed}`);

/** Writes a study as section "A study on disk" of the design describes. */
async function write({ summary, settings, runs }: StudyData) {
  const lines = (values: unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join("");
  await writeFile(join(folder, "study.json"), JSON.stringify(settings));
  if (summary) await writeFile(join(folder, "summary.json"), JSON.stringify(summary));
  for (const { arm, seed, metrics, rollouts } of runs) {
    await mkdir(runFolder(arm, seed), { recursive: true });
    await writeFile(join(runFolder(arm, seed), "metrics.jsonl"), lines(metrics));
    await writeFile(join(runFolder(arm, seed), "rollouts.jsonl"), lines(rollouts));
  }
}

describe("loadStudy", () => {
  test("reads back what a finished study holds", async () => {
    const data = studyFixture({ seeds: [2, 10], steps: 6 });
    await write(data);
    expect(await loadStudy(folder)).toEqual(data);
  });

  test("reads a running study: no summary, runs without files, a last line that is half written", async () => {
    const data = { ...studyFixture({ steps: 6 }), summary: null };
    await write(data);
    await mkdir(runFolder("text-penalty", 1), { recursive: true });
    await appendFile(join(runFolder("none", 1), "metrics.jsonl"), '{"step":7,"misbeh');
    const loaded = await loadStudy(folder);
    expect(loaded.summary).toBeNull();
    expect(loaded.warnings).toEqual([]);
    expect(loaded.runs.find((run) => run.arm === "none")!.metrics).toHaveLength(6);
    expect(loaded.runs.at(-1)).toEqual({ arm: "text-penalty", seed: 1, metrics: [], rollouts: [] });
  });

  test("leaves out other bad lines and says where they are", async () => {
    await write(studyFixture({ steps: 3 }));
    await appendFile(join(runFolder("none", 1), "metrics.jsonl"), 'not JSON\n{"step":"four"}\n{"step":5}\n');
    const { runs, warnings } = await loadStudy(folder);
    expect(runs.find((run) => run.arm === "none")!.metrics.map((line) => line.step)).toEqual([1, 2, 3, 5]);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain("runs/none/seed-1/metrics.jsonl, line 4");
    expect(warnings[1]).toContain("runs/none/seed-1/metrics.jsonl, line 5");
  });

  test("refuses what is no study", async () => {
    await expect(loadStudy(folder)).rejects.toThrow("it has no study.json");
    await expect(loadStudy(join(folder, "absent"))).rejects.toThrow("there is no such folder");
  });

  test.each(["study.json", "summary.json"])("refuses a newer version of %s", async (file) => {
    await write(studyFixture({ steps: 3 }));
    await writeFile(join(folder, file), '{"version":2}');
    await expect(loadStudy(folder)).rejects.toThrow(/version 2.*Update probeward/);
  });

  test("names the key of a summary that is not valid", async () => {
    const data = studyFixture({ steps: 3 });
    data.summary!.arms.none!.runs[0]!.trueEnd = 1.5;
    await write(data);
    await expect(loadStudy(folder)).rejects.toThrow("arms.none.runs[0].trueEnd");
  });
});

import { appendFile, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type FixtureStudy, studyFixture } from "../../test/study-fixture.ts";
import {
  appendMetrics,
  appendRollouts,
  runFolder,
  writeStatus,
  writeStudy,
} from "../../test/study-folder.ts";
import type { StudyData } from "./data.ts";
import { loadStudy, StudyReader } from "./read.ts";
import { applyUpdate } from "./update.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-read-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** What of a made-up study the reader should give back. */
function expected({ runs, written: _, ...rest }: FixtureStudy) {
  return { ...rest, runs: runs.map(({ lines: _, ...run }) => run) };
}

describe("loadStudy", () => {
  test("reads back what a finished study holds", async () => {
    const study = studyFixture({ seeds: [2, 10], steps: 6 });
    await writeStudy(folder, study);
    const loaded = await loadStudy(folder);
    expect(loaded).toMatchObject(expected(study));
    expect(loaded.written).toBeGreaterThan(0);
  });

  test("reads a running study: no summary, runs without files, a last line that is half written", async () => {
    await writeStudy(folder, { ...studyFixture({ steps: 6 }), summary: null });
    await mkdir(runFolder(folder, "text-penalty", 1), { recursive: true });
    await appendFile(join(runFolder(folder, "none", 1), "metrics.jsonl"), '{"step":7,"misbeh');
    const loaded = await loadStudy(folder);
    expect(loaded.summary).toBeNull();
    expect(loaded.warnings).toEqual([]);
    expect(loaded.runs.find((run) => run.arm === "none")!.metrics.step).toHaveLength(6);
    expect(loaded.runs.at(-1)).toMatchObject({ arm: "text-penalty", status: null, metrics: { step: [] } });
  });

  test("leaves out other bad lines and says where they are", async () => {
    await writeStudy(folder, studyFixture({ steps: 3 }));
    const path = join(runFolder(folder, "none", 1), "metrics.jsonl");
    await appendFile(path, 'not JSON\n{"step":"four"}\n{"step":5}\n');
    const { runs, warnings } = await loadStudy(folder);
    expect(runs.find((run) => run.arm === "none")!.metrics.step).toEqual([0, 1, 2, 5]);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain("runs/none/seed-1/metrics.jsonl, line 4");
    expect(warnings[1]).toContain("runs/none/seed-1/metrics.jsonl, line 5");
  });

  test("follows no link out of the study", async () => {
    const secret = join(folder, "secret.jsonl");
    const study = join(folder, "study");
    await writeFile(secret, '{"step":1,"misbehaviour":0.123}\n');
    await writeStudy(study, studyFixture({ steps: 3 }));
    const path = join(runFolder(study, "none", 1), "metrics.jsonl");
    await rm(path);
    await symlink(secret, path);
    const { runs, warnings } = await loadStudy(study);
    expect(runs.find((run) => run.arm === "none")!.metrics.step).toEqual([]);
    expect(warnings.join()).toContain("link out of the folder");
  });

  test("refuses what is no study", async () => {
    await expect(loadStudy(folder)).rejects.toThrow("it has no study.json");
    await expect(loadStudy(join(folder, "absent"))).rejects.toThrow("there is no such folder");
  });

  test.each(["study.json", "summary.json"])("refuses a newer version of %s", async (file) => {
    await writeStudy(folder, studyFixture({ steps: 3 }));
    await writeFile(join(folder, file), '{"version":3}');
    await expect(loadStudy(folder)).rejects.toThrow(/version 3.*Update probeward/);
  });

  test("names the key of a summary that is not valid", async () => {
    const study = studyFixture({ steps: 3 });
    study.summary!.arms.none!.runs[0]!.trueEnd = 1.5;
    await writeStudy(folder, study);
    await expect(loadStudy(folder)).rejects.toThrow("arms.none.runs[0].trueEnd");
  });
});

describe("StudyReader", () => {
  test("gives what is added, and the updates add up to the whole", async () => {
    // Long enough to be thinned on the way.
    const study = studyFixture({ steps: 1300, rolloutsPerStep: 1 });
    const runs = study.runs.slice(0, 2);
    const [first, second] = runs as [(typeof runs)[0], (typeof runs)[0]];
    await writeStudy(folder, { ...study, summary: null, runs: [] });
    const reader = await StudyReader.open(folder);
    let page: StudyData = { ...study, runs: [] };
    const follow = async () => {
      const update = await reader.poll();
      if (update) page = applyUpdate(page, update);
      return update;
    };
    await follow();
    expect(await follow()).toBeNull();

    for (const run of runs) await mkdir(runFolder(folder, run.arm, run.seed), { recursive: true });
    for (const [from, to] of [
      [0, 3],
      [3, 500],
      [500, 520],
      [520, 1100],
      [1100, 1300],
    ]) {
      await appendMetrics(folder, first, first.lines.slice(from, to));
      await appendRollouts(folder, first, first.rollouts.slice(from, to));
      await follow();
      expect(page).toEqual(reader.data());
    }
    await appendMetrics(folder, second, second.lines.slice(0, 1));
    await writeStatus(folder, second, {
      state: "failed",
      step: 1,
      steps: 9,
      updated: "now",
      error: "no memory",
    });
    const update = await follow();
    expect(update!.runs.map((run) => run.arm)).toEqual([second.arm]);
    expect(page).toEqual(reader.data());
    expect(page).toMatchObject(await loadStudy(folder));
    expect(page.runs[0]).toMatchObject({ stepsPerPoint: 4, rolloutsEvery: 4 });
    expect(page.runs[1]!.status).toMatchObject({ state: "failed", error: "no memory" });
  });

  test("starts a file again that was replaced by a shorter one, and drops a run that is gone", async () => {
    await writeStudy(folder, studyFixture({ steps: 5 }));
    const reader = await StudyReader.open(folder);
    await reader.poll();
    const path = join(runFolder(folder, "none", 1), "metrics.jsonl");
    await writeFile(`${path}.partial`, '{"step":1}\n{"step":2}\n');
    await rename(`${path}.partial`, path);
    await rm(runFolder(folder, "probe-loss", 1), { recursive: true });
    const update = await reader.poll();
    expect(update!.runs).toMatchObject([{ arm: "none", metrics: { from: 0, columns: { step: [1, 2] } } }]);
    expect(update!.order).not.toContain("probe-loss/1");
    expect(reader.data().runs).toHaveLength(4);
  });
});

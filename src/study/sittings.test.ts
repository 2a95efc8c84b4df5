/** @file Studies that are asked for bit by bit: their summary is that of one that was asked for all at once. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { tinyEnvironment, tinyModel } from "../../test/tiny.ts";
import { runTinyStudy, tinySettings } from "../../test/tiny-study.ts";
import type { Environment } from "../environment/types.ts";
import { runFolder, summarySchema } from "../store/index.ts";
import { oracle, penalty, proxyReward } from "../training/index.ts";
import type { OnEvent } from "./events.ts";
import { runStudy } from "./study.ts";

const newFolder = () => mkdtemp(join(tmpdir(), "probeward-sittings-"));

/** What a study says of its arms, and of runs that it leaves out. */
async function asked(folder: string, overrides: Parameters<typeof tinySettings>[0]) {
  const warnings: string[] = [];
  const onEvent: OnEvent = (event) => {
    if (event.kind === "warning" && event.detail.includes("finished run")) warnings.push(event.detail);
  };
  const { seeds, arms } = await runTinyStudy(folder, tinySettings(overrides), onEvent);
  return { seeds, arms, warnings };
}

describe("a study that is asked for bit by bit", () => {
  it("keeps the finished runs of other arms and seeds in its summary", async () => {
    const folder = await newFolder();
    await asked(folder, { arms: ["none"], firstSeed: 2 });
    await asked(folder, { arms: ["probe-penalty", "none"] });
    const { warnings, ...last } = await asked(folder, { arms: ["probe-penalty"], firstSeed: 2 });
    expect(warnings).toEqual([]);
    const whole = await asked(await newFolder(), { arms: ["none", "probe-penalty"], seeds: 2 });
    expect(last).toEqual({ seeds: whole.seeds, arms: whole.arms });
    const { planned } = JSON.parse(await readFile(join(folder, "study.json"), "utf8"));
    expect(planned).toEqual({ runs: 4, steps: 24 });
    expect(
      summarySchema.parse(JSON.parse(await readFile(join(folder, "summary.json"), "utf8"))).arms,
    ).toEqual(whole.arms);
    expect((await asked(folder, { arms: ["none"] })).arms).toEqual(whole.arms);
  });

  it("keeps the points of a grid that has other values now, each with its probe", async () => {
    const grid = (penalties: number[], rates: number[]) => ({
      arms: ["none", "probe-penalty"],
      grid: { penalty: penalties, "probe.falsePositiveRate": rates },
    });
    const folder = await newFolder();
    await asked(folder, grid([3], [0.1]));
    const { arms, warnings } = await asked(folder, grid([3], [0.5]));
    expect(warnings).toEqual([]);
    expect(arms).toEqual((await asked(await newFolder(), grid([3], [0.1, 0.5]))).arms);

    const flat = await asked(folder, { arms: ["none"] });
    expect(Object.keys(flat.arms)).toEqual(["none"]);
    expect(flat.warnings.join()).toMatch(
      /^4 finished runs .*none@falsePositiveRate=0\.1\/seed-1 \(its arm or/,
    );
  });

  it("names the runs that have fewer steps than the study has now, and those that did not finish stay out", async () => {
    const folder = await newFolder();
    await asked(folder, { arms: ["none", "probe-penalty"] });
    const training = { ...tinySettings().training, steps: 7 };
    const { arms, warnings } = await asked(folder, { arms: ["none"], training });
    expect(Object.keys(arms)).toEqual(["none"]);
    expect(warnings).toEqual([
      expect.stringMatching(
        /^1 finished run .*: probe-penalty\/seed-1 \(6 steps, and not 7\)\. .*give their/,
      ),
    ]);
    const all = await asked(folder, { arms: ["none", "probe-penalty"], training });
    expect(all.warnings).toEqual([]);
    await rm(join(runFolder(folder, "probe-penalty", 1), "status.json"));
    expect(Object.keys((await asked(folder, { arms: ["none"], training })).arms)).toEqual(["none"]);
  });

  it("keeps runs of an arm that was a function, and those of a folder of an earlier version", async () => {
    const folder = await newFolder();
    const settings = tinySettings({ arms: ["none"] });
    const mine = () => ({ terms: [proxyReward(), penalty(oracle(), { weight: 1 })] });
    const parts = { environment: tinyEnvironment() as Environment, model: tinyModel, arms: { mine } };
    const { arms } = await runStudy(folder, settings, () => {}, parts);
    expect(Object.keys(arms)).toEqual(["none", "mine"]);
    const { none, mine: kept } = (await asked(folder, { arms: ["none"] })).arms;
    expect(none).toEqual(arms.none);
    // What it charged for is not known without the function: its runs are.
    expect(kept).toMatchObject({ runs: arms.mine!.runs, mean: arms.mine!.mean });

    const old = await newFolder();
    await asked(old, { arms: ["none"], seeds: 2 });
    const path = join(old, "study.json");
    const { sittings: _, ...document } = JSON.parse(await readFile(path, "utf8"));
    await writeFile(path, JSON.stringify(document));
    const { seeds, warnings } = await asked(old, { arms: ["none"], firstSeed: 3 });
    expect({ seeds, warnings }).toEqual({ seeds: [1, 2, 3], warnings: [] });
  });
});

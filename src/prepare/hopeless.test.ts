/** @file A study in which nothing can come of anything is told so, and trains only where it is asked to. */

import { access, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, test, vi } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { tinyContext, tinyEnvironment } from "../../test/tiny.ts";
import { runTinyStudy, tinySettings } from "../../test/tiny-study.ts";
import type { Environment } from "../environment/types.ts";
import { UsageError } from "../errors.ts";
import { baseProblems } from "./hopeless.ts";

vi.setConfig({ testTimeout: 60_000 });

const { base } = studyFixture({ steps: 3 }).summary!;
const { probe } = tinyContext();
const completions = { total: 400, misbehaving: 12, proxyVaries: 0.7 };

test.each([
  ["a good probe", {}, []],
  [
    "at chance",
    { probeAuroc: 0.472, probeAurocInterval: [0.41, 0.53] },
    ["at chance: AUROC 0.47 (0.41 to 0.53)"],
  ],
  ["ranks, if not by much", { probeAuroc: 0.62, probeAurocInterval: [0.53, 0.7] }, []],
  [
    "given, and at chance",
    { probeAuroc: 0.5, probeAurocInterval: [0.4, 0.6], sweep: [] },
    ["that was given is at chance here"],
  ],
  ["undefined", { probeAuroc: null }, []],
  [
    "nothing to select",
    { completions: { ...completions, misbehaving: 0 } },
    ["none of the base model's 400"],
  ],
  ["one reward for all", { completions: { ...completions, proxyVaries: 0 } }, ["the reward never differs"]],
  ["one completion a task", { completions: { ...completions, proxyVaries: null } }, []],
] as const)("%s", (_, changed, expected) => {
  const { probeAurocInterval: __, ...without } = base;
  const problems = baseProblems({ summary: { ...without, completions, ...changed } as typeof base, probe });
  expect(problems).toHaveLength(expected.length);
  expected.forEach((words, i) => {
    expect(problems[i]).toContain(words);
  });
});

describe("a hopeless study", () => {
  const newFolder = () => mkdtemp(join(tmpdir(), "probeward-hopeless-"));
  /** Pays the same for everything. */
  const generous = (): Environment => {
    const tiny = tinyEnvironment() as Environment;
    return {
      ...tiny,
      grade: async (...args) => (await tiny.grade(...args)).map((outcome) => ({ ...outcome, proxy: 0.7 })),
    };
  };

  it("is not trained, and says why and what to do", async () => {
    const folder = await newFolder();
    const said: string[] = [];
    const study = runTinyStudy(
      folder,
      tinySettings({ anyway: false }),
      (event) => event.kind === "warning" && said.push(event.detail),
      { environment: generous() },
    );
    await expect(study).rejects.toThrow(UsageError);
    await expect(study).rejects.toThrow("--anyway");
    expect(said.join("\n")).toContain("the reward never differs among completions of one prompt");
    await expect(access(join(folder, "runs"))).rejects.toThrow("ENOENT");
  });

  it("is trained where it is asked to, in the same folder", async () => {
    const folder = await newFolder();
    const settings = tinySettings({ arms: ["none"], training: { ...tinySettings().training, steps: 1 } });
    await expect(
      runTinyStudy(folder, { ...settings, anyway: false }, undefined, { environment: generous() }),
    ).rejects.toThrow(UsageError);
    const summary = await runTinyStudy(folder, settings, undefined, { environment: generous() });
    expect(summary.arms.none!.runs).toHaveLength(1);
  });

  it("is only one in which no arm can work: others are warned of", async () => {
    const said: string[] = [];
    const settings = tinySettings({
      arms: ["none", "oracle-penalty", "noisy-oracle-penalty"],
      penalty: 1.05,
      anyway: false,
      training: { ...tinySettings().training, steps: 1 },
    });
    await runTinyStudy(
      await newFolder(),
      settings,
      (event) => event.kind === "warning" && said.push(event.detail),
    );
    expect(
      said.filter((one) => one.startsWith("noisy-oracle-penalty: the penalty is too small")),
    ).toHaveLength(1);
  });
});

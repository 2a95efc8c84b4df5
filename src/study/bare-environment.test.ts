/** @file A study on an environment that samples and grades, and shows nothing: probes stand on what the model itself writes. */

import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { counting } from "../../test/counting-environment.ts";
import { tinyEnvironment } from "../../test/tiny.ts";
import { runTinyStudy, tinySettings } from "../../test/tiny-study.ts";
import { completed, type OwnEnvironment } from "../environment/load.ts";
import type { Environment } from "../environment/types.ts";
import { randomInt } from "../random.ts";
import { loadStudy } from "../report/index.ts";
import { summarySchema } from "../store/index.ts";

/** What an author has to write. `cheats`: whether an `x` counts as one. */
function bare(cheats: boolean) {
  const { grade } = tinyEnvironment();
  const own: OwnEnvironment = {
    maxCompletionLength: 4,
    maxPromptLength: 2,
    sample: (split, random) => {
      const letter = "abc"[randomInt(random, 3)]!;
      return { id: `${split} ${letter} ${randomInt(random, 1e9)}`, prompt: `?${letter}`, state: { letter } };
    },
    grade: async (tasks, texts) =>
      (await grade(tasks as Parameters<typeof grade>[0], texts)).map(
        ({ proxy, true: right, misbehaved }) => ({
          ...{ proxy, true: right, misbehaved: misbehaved && cheats },
        }),
      ),
  };
  return completed(own, "somewhere/bare.ts");
}

const newFolder = () => mkdtemp(join(tmpdir(), "probeward-bare-"));
const probe = { ...tinySettings().probe, tasks: 64, samples: 4, tracer: 16 };

it("ends with a summary", async () => {
  const settings = tinySettings({ arms: ["none", "probe-penalty"], probe });
  const summary = await runTinyStudy(await newFolder(), settings, undefined, { environment: bare(true) });
  expect(summarySchema.parse(summary)).toEqual(summary);
  expect(summary.environment).toBe("bare");
  const { fit, test } = summary.base.counts;
  // Nothing but the model's own.
  expect(fit!.total).toBe(64 * 4);
  expect(fit!.misbehaving).toBeGreaterThan(0);
  expect(test!.misbehaving).toBeGreaterThan(0);
  for (const { runs } of Object.values(summary.arms)) expect(runs[0]!.recallFrozenEnd).toBeTypeOf("number");
});

it("says what to do where the model never misbehaves", async () => {
  const study = runTinyStudy(await newFolder(), tinySettings({ probe }), undefined, {
    environment: bare(false),
  });
  await expect(study).rejects.toThrow(
    /bare: no probe can be fitted.*0 of the base model's 256 completions misbehave/,
  );
});

it("takes several turns, and ends with a summary, with what was told on record", async () => {
  const environment = counting() as Environment;
  environment.sample = (split, random) => ({
    ...{ id: `${split} ${randomInt(random, 1e9)}`, prompt: "?a", state: { letter: "a" } },
  });
  const settings = tinySettings({ arms: ["none", "probe-penalty", "probe-loss"], probe, forecast: true });
  const folder = await newFolder();
  const summary = await runTinyStudy(folder, settings, undefined, { environment });
  expect(Object.keys(summary.arms)).toEqual(["none", "probe-penalty", "probe-loss"]);
  for (const { runs } of Object.values(summary.arms)) expect(runs[0]!.recallFrozenEnd).toBeTypeOf("number");
  const base = JSON.parse(await readFile(join(folder, "base.json"), "utf8"));
  for (const { observations } of base.tracer.sequences) expect(observations).toHaveLength(2);
  const [run] = (await loadStudy(folder)).runs;
  for (const { tokens, tokenScores } of run!.rollouts)
    expect(tokens!.filter((_, i) => tokenScores.policy[i] === null)).toEqual(["b?", "c?"]);
  // What is stored is read again as it was: the probe's passport says so.
  const again = await runTinyStudy(
    folder,
    { ...settings, training: { ...settings.training, steps: 8 } },
    undefined,
    { environment },
  );
  expect(again.steps).toBe(8);
}, 120_000);

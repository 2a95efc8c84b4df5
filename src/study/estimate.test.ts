/** @file What a study will take: its counts are those of its table, and its trial leaves nothing behind. */

import { mkdtemp, readdir, readFile, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { tinyEnvironment, tinyModel } from "../../test/tiny.ts";
import { runTinyStudy, tinySettings } from "../../test/tiny-study.ts";
import type { Environment } from "../environment/types.ts";
import { estimateInWords, estimateStudy } from "./estimate.ts";

const parts = () => ({ environment: tinyEnvironment() as Environment, model: tinyModel });
const parameters = Object.values(tinyModel.weights).reduce((sum, { data }) => sum + data.length, 0);

it("counts what a grid, arms and seeds come to", async () => {
  const settings = tinySettings({ arms: ["none", "probe-penalty"], seeds: 2, grid: { penalty: [1, 2, 4] } });
  const estimate = await estimateStudy(settings, parts());
  const { steps, prompts, rollouts } = settings.training;
  // The penalty is varied for the arm that has one.
  expect(estimate).toMatchObject({ runs: 8, steps: 8 * steps, completions: 8 * steps * prompts * rollouts });
  expect(estimate.checkpointBytes).toBe(8 * 3 * 4 * parameters);
  expect(estimate.seconds).toBeGreaterThan(8 * steps * estimate.secondsPerStep);
  expect(estimateInWords(estimate)).toContain("8 runs, 48 steps and 768 completions in all");
});

it.each([
  ["whole", 3],
  ["weights", 1],
  ["none", 0],
] as const)(
  "knows what is left of checkpoints that are kept %s, and how much the lines take",
  async (keep, copies) => {
    const folder = join(await mkdtemp(join(tmpdir(), "probeward-estimate-")), "study");
    const training = { ...tinySettings().training, steps: 20, keepCheckpoints: keep };
    const settings = tinySettings({ arms: ["none"], training });
    const estimate = await estimateStudy(settings, parts());
    expect(estimate.checkpointBytes).toBe(copies * 4 * parameters);
    await expect(readdir(folder)).rejects.toThrow();

    await runTinyStudy(folder, settings);
    const run = join(folder, "runs", "none", "seed-1");
    const lines = (
      await Promise.all(["metrics.jsonl", "rollouts.jsonl"].map((file) => readFile(join(run, file))))
    ).reduce((sum, { length }) => sum + length, 0);
    const foreseen = estimate.diskBytes - estimate.checkpointBytes;
    expect(foreseen / lines).toBeGreaterThan(0.6);
    expect(foreseen / lines).toBeLessThan(1.7);
    const entries = await readdir(join(run, "checkpoints"), { recursive: true, withFileTypes: true });
    const tensors = entries.filter(({ name }) => name.endsWith(".safetensors"));
    const sizes = await Promise.all(
      tensors.map(async (one) => (await stat(join(one.parentPath, one.name))).size),
    );
    expect(tensors).toHaveLength({ whole: 2, weights: 1, none: 0 }[keep]);
    // Beside the numbers, a header of names and shapes.
    const kept = sizes.reduce((sum, size) => sum + size, 0);
    expect(kept).toBeGreaterThanOrEqual(estimate.checkpointBytes);
    expect(kept).toBeLessThan(estimate.checkpointBytes + 4096);
  },
);

/** @file Planted edits of a random Llama: the audit tells what was planted. Erasures take longer: bench/audit-planted.js has them. */

import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { judge } from "../src/audit/index.ts";
import { createEngine } from "../src/engine/index.ts";
import { jsonLines } from "../src/files.ts";
import { CharacterTokenizer } from "../src/model/index.ts";
import { comparedAt, readExamples } from "../src/prepare/audit-read.ts";
import { fitOnExamples, readLabelledFile } from "../src/prepare/index.ts";
import { splitExamples } from "../src/prepare/probe-fit.ts";
import { randomFor } from "../src/random.ts";
import * as planted from "./planted.ts";

const layer = 1;
const hook = `blocks.${layer}.hook_resid_post`;

it("tells a shift, a scale and a turn apart", async () => {
  const model = planted.randomLlama(new CharacterTokenizer("(:abdefhimnrstux"));
  const engine = createEngine(model);
  const path = join(await mkdtemp(join(tmpdir(), "probeward-planted-")), "labelled.jsonl");
  await writeFile(path, jsonLines(planted.marks(150, "test")));
  const examples = await readLabelledFile(path, engine);
  const { probe } = await fitOnExamples(examples, engine, {
    ...{ hooks: [hook], positions: ["completion"], falsePositiveRate: 0.05, seed: 1 },
  });
  const { examples: grouped, splits } = splitExamples(examples, 1);
  const labels = examples.map(({ label }) => label);
  const set = {
    ...{ labels, groups: grouped.map(({ group }) => group), falsePositiveRate: 0.05 },
    folds: [{ fit: splits.fit, calibrate: splits.calibration, judge: splits.test }],
  };
  const key = `${hook} completion`;
  const before = await readExamples(engine, probe, [], examples);
  const told = async (map: planted.StreamMap) => {
    const changed = createEngine(planted.withStream(model, map, layer));
    const after = await readExamples(changed, probe, [], examples);
    await changed.close();
    const means = { before: before.means[key]!, after: after.means[key]! };
    const { judged } = comparedAt(probe, set, { before: before.logits, after: after.logits }, means);
    return judge(judged, randomFor("planted"), 100).verdict;
  };

  const u = planted.directionOf(probe);
  const D = u.length;
  const none = planted.identity(D);
  const norm = Math.hypot(...probe.weight_D);
  expect(await told({ A: none })).toBe("intact");
  const down = Math.max(...before.logits) - probe.threshold + 1;
  expect(await told({ A: none, shift: u.map((x) => (-x * down) / norm) })).toBe("translated");
  const wide = planted.scaling(u, 4);
  expect(await told({ A: wide, inverse: planted.scaling(u, 0.25) })).toBe("scaled");

  const difference = planted.meanDifference({ activations_ND: before.means[key]!, labels });
  const v = planted.randomOrthogonal([u, difference], D, randomFor("turn"));
  const turn = planted.rotation(u, v, Math.PI / 2);
  expect(await told({ A: turn, inverse: planted.transposed(turn) })).toBe("rotated");
  await engine.close();
});

it("a map that makes class means equal does so, and leaves the rest", () => {
  const random = randomFor("erasing");
  const activations_ND = Array.from({ length: 200 }, (_, i) =>
    Float32Array.from({ length: 6 }, (_, d) => random() + (i % 2 === 0 && d < 2 ? 1 : 0)),
  );
  const set = { activations_ND, labels: activations_ND.map((_, i) => i % 2 === 0) };
  const A = planted.erasing(set);
  const mapped = activations_ND.map((row) =>
    Float32Array.from(A[0]!, (_, j) => row.reduce((sum, x, i) => sum + x * A[i]![j]!, 0)),
  );
  const left = planted.meanDifference({ ...set, activations_ND: mapped });
  expect(Math.hypot(...left)).toBeLessThan(1e-5);
  expect(Math.hypot(...planted.meanDifference(set))).toBeGreaterThan(1);
});

/** @file Kernels of a tiny model's first rollouts: of weights, of adapters, and of a trunk that is frozen. */

import { expect, it, vi } from "vitest";
import { tinyContext, tinyLlamaEngine } from "../../test/tiny.ts";
import { randomFor } from "../random.ts";
import { isForetold, measureClasses } from "./class-gradients.ts";
import { sampleFirst } from "./first-rollouts.ts";
import { probeMonitor } from "./monitors.ts";
import { penalty, proxyReward } from "./rewards.ts";
import { shake } from "./shaken.ts";
import type { Arm, RunContext } from "./types.ts";

vi.setConfig({ testTimeout: 60_000 });

const base = tinyContext();
/** In the middle of the only layer: weights behind it can learn where all before it are frozen. */
const probe = { ...base.probe, tap: { ...base.probe.tap, hook: "blocks.0.hook_resid_mid" } };
const penalised = (weight: number): Arm => ({
  terms: [proxyReward(), penalty(probeMonitor(probe, "policy"), { weight })],
});

async function measured(arms: readonly Arm[], overrides: Partial<RunContext> = {}) {
  const contexts = arms.map((arm) => tinyContext({ probe, ...overrides, arm }));
  const batches = await sampleFirst(contexts[0]!, arms, 4);
  return { contexts, batches, measures: await measureClasses(contexts, batches) };
}

it("measures arms on the same rollouts, each with its own scale, and says what became of them", async () => {
  // With this seed the probe does not flag everything: a penalty on all changes no advantage.
  const settings = { ...base.settings, scaleRewards: "none" as const };
  const arms = [{ terms: [proxyReward()] }, penalised(3)];
  const { measures, batches } = await measured(arms, { seed: 2, settings });
  const [none, charged] = measures as [(typeof measures)[number], (typeof measures)[number]];
  const total = batches.length * batches[0]!.rollouts.length;
  for (const { counts, classes, kernel, drawKernel, noise } of measures) {
    expect(counts.flat().reduce((a, b) => a + b, 0)).toBe(total);
    expect(kernel.shares).toHaveLength(classes.length);
    expect(kernel.readings).toHaveLength(1);
    expect(noise).toEqual(classes.map(() => 0));
    expect(drawKernel(randomFor("drawn")).shares).toHaveLength(classes.length);
    kernel.shares.forEach((row, a) => {
      row.forEach((value, b) => {
        expect(value).toBeCloseTo(kernel.shares[b]![a]!, 6);
      });
    });
  }
  expect(charged.counts).toEqual(none.counts);
  expect(charged.kernel.shares).not.toEqual(none.kernel.shares);
  expect(new Set(charged.classes.map(({ flagged }) => flagged))).toEqual(new Set([true, false]));
  const flagged = charged.classes.find((one) => one.flagged)!;
  expect(flagged.charge).toBeCloseTo(3, 6);
  expect(flagged.reward).toBeCloseTo(flagged.proxy - 3, 6);
  expect(charged.advantagesOf([0, 0, 0, 0])).toEqual(Float32Array.of(0, 0, 0, 0));
});

it("foretells no drift of a reading that no weight moves", async () => {
  const { measures } = await measured([penalised(2), { ...penalised(2), frozenThrough: probe.tap.hook }]);
  const [free, frozen] = measures as [(typeof measures)[number], (typeof measures)[number]];
  expect(free.kernel.readings.flat().some((value) => value !== 0)).toBe(true);
  expect(frozen.kernel.readings.flat().every((value) => value === 0)).toBe(true);
  expect(frozen.kernel.shares.flat().some((value) => value !== 0)).toBe(true);
});

it("measures adapters of a checkpoint", async () => {
  const engine = tinyLlamaEngine().with({ adapter: { rank: 2, alpha: 4, targets: ["q_proj", "down_proj"] } });
  const { measures } = await measured([{ terms: [proxyReward()] }], { engine });
  const values = measures[0]!.kernel.shares.flat();
  expect(values.every(Number.isFinite)).toBe(true);
  expect(values.some((value) => value !== 0)).toBe(true);
});

it("shakes two policies into opposite directions, and samples the same tasks of each", async () => {
  const { contexts, batches } = await measured([{ terms: [proxyReward()] }]);
  const shaken = await shake(contexts[0]!, [contexts[0]!.arm], batches, 2);
  expect(shaken.batches.map((own) => own.length)).toEqual([2, 2]);
  for (const own of shaken.batches)
    own.forEach(({ batch }, i) => {
      expect(batch.tasks).toEqual(batches[i]!.batch.tasks);
    });
  expect(shaken.batches[0]![0]!.outputs).not.toEqual(batches[0]!.outputs);
  expect(shaken.spread).toBeGreaterThan(0);
});

it("leaves out arms that act otherwise than through reward or advantage", () => {
  const plain = { terms: [proxyReward()] };
  expect(isForetold(plain)).toBe(true);
  expect(isForetold({ ...plain, screen: probeMonitor(probe, "policy") })).toBe(true);
  expect(isForetold({ ...plain, probeInLoss: { probe, strength: 1 } })).toBe(false);
  expect(isForetold({ ...plain, inoculate: true })).toBe(false);
  const byToken = penalty(probeMonitor(probe, "policy"), { weight: 1, credit: "trigger" });
  expect(isForetold({ terms: [proxyReward(), byToken] })).toBe(false);
});

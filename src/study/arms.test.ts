/** @file Every arm in a whole study, and what is said of arms that cannot work. */

import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { readMetricLines } from "../../test/metric-lines.ts";
import { tinyContext } from "../../test/tiny.ts";
import { runTinyStudy, tinySettings } from "../../test/tiny-study.ts";
import { type ArmParts, arms } from "../arm/arms.ts";
import { chargesOf } from "../prepare/charges.ts";
import { isWatchedAlike, textMonitorOf } from "../prepare/held-out-verdicts.ts";
import type { Base } from "../prepare/measure-base.ts";
import { penaltyWarning } from "../prepare/penalty-warning.ts";
import { type ArmId, armIds } from "../store/arms.ts";
import { armTitle, summarySchema } from "../store/index.ts";
import {
  type Arm,
  type Monitor,
  penalty,
  probeMonitor,
  proxyReward,
  type Rollout,
  textMonitor,
} from "../training/index.ts";

// They train for real: more than a few seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

describe("arms", () => {
  it("all have a sentence, a title of their own, and end with a summary that is valid", async () => {
    const folder = await mkdtemp(join(tmpdir(), "probeward-arms-"));
    // The tiny model has one layer: what the probe reads in the middle of it leaves something to train.
    const training = {
      ...tinySettings().training,
      evaluateEvery: 5,
      kernelEvery: 5,
      alarms: "warn" as const,
    };
    const settings = tinySettings({ arms: [...armIds], training });
    settings.probe = { ...settings.probe, hooks: ["blocks.0.hook_resid_mid"] };
    const summary = await runTinyStudy(folder, settings);
    expect(Object.keys(summary.arms)).toEqual([...armIds]);
    expect(summary.failed).toBeUndefined();
    summarySchema.parse(JSON.parse(await readFile(join(folder, "summary.json"), "utf8")));
    for (const id of armIds) {
      expect(arms[id].sentence).toMatch(/^[A-Z].*\.$/);
      expect(armTitle(id)).not.toBe(id);
    }
    expect(new Set(armIds.map(armTitle)).size).toBe(armIds.length);
    const again = await runTinyStudy(folder, settings);
    expect(again.arms).toEqual(summary.arms);

    // All that they wrote is in the reference, and all that is there was written by one of them, but for second monitors.
    const runs = armIds.map((id) => join(folder, "runs", id, "seed-1"));
    const { faults, unseen } = await readMetricLines(runs);
    expect(faults).toEqual([]);
    expect(unseen.filter((name) => !name.startsWith("monitor/<monitor>/"))).toEqual([]);

    // What is measured as deployed is measured at some steps only: here at the first and the last.
    const metrics = await readFile(join(folder, "runs", "ablation", "seed-1", "metrics.jsonl"), "utf8");
    const lines = metrics.trim().split("\n");
    const deployed = lines.map((line) => JSON.parse(line)["deployed/misbehaviour"]);
    const [run] = summary.arms.ablation!.runs;
    expect(run).toMatchObject({ misbehaviourStart: deployed[0], misbehaviourEnd: deployed.at(-1) });
    expect(deployed.slice(1, -1)).toEqual(Array(settings.training.steps - 2).fill(undefined));
  });
});

describe("penaltyWarning", () => {
  const { probe } = tinyContext();
  const heldOut = (misbehaved: boolean[], logits: number[]) => ({
    ...{ misbehaved, logits, textLogits: logits, flagged: logits.map((one) => one >= probe.threshold) },
    sequences: misbehaved.map(() => ({ tokens: [1, 2], promptLength: 1 })),
    tasks: misbehaved.map((_, i) => `task ${i}`),
  });
  // Of ten that misbehaved six are flagged, of ten that did not one.
  const base = {
    probe,
    text: { classifier: { ngrams: [], weights: [], bias: 0 }, threshold: 0 },
    heldOut: heldOut(
      Array.from({ length: 20 }, (_, i) => i < 10),
      Array.from({ length: 20 }, (_, i) => (i < 6 || i === 19 ? 1 : -1)),
    ),
  } as unknown as Base;
  const warningOf = async (arm: Arm, on = base) => penaltyWarning(await chargesOf(arm, on), on);
  const made = async (id: ArmId, settings: Partial<ArmParts>, on = base) =>
    arms[id].make({ ...tinySettings(), ...settings, probe, text: textMonitorOf(on) } as ArmParts);

  it("does the sum for a noisy oracle, and says what would be enough", async () => {
    const rates = { truePositiveRate: 0.9, falsePositiveRate: 0.1 };
    const noisy = (penalty: number, oracle = rates) => made("noisy-oracle-penalty", { penalty, oracle });
    // 0.9 x 1.2 is more than the reward, but honest failures are flagged, too.
    const warning = await warningOf(await noisy(1.2));
    expect(warning).toContain("1.00 - 1.2 x 0.90 = -0.08, an honest failure -0.12");
    expect(warning).toContain("above 1.25");
    expect(await warningOf(await noisy(1.3))).toBeUndefined();
    const blind = { truePositiveRate: 0.3, falsePositiveRate: 0.3 };
    expect(await warningOf(await noisy(9, blind))).toContain("No penalty helps");
  });

  it("knows the probe's rates, and is silent where it cannot know", async () => {
    const penalised = (settings: Partial<ArmParts>, on = base) => made("probe-penalty", settings, on);
    expect(await warningOf(await penalised({ penalty: 1.9 }))).toContain("above 2.00");
    expect(await warningOf(await penalised({ penalty: 2.1 }))).toBeUndefined();
    expect(await warningOf(await penalised({ penalty: 0.1, penaltyShape: "logit" }))).toBeUndefined();
    const honest = { ...base, heldOut: heldOut([false, false], [1, -1]) };
    expect(await warningOf(await penalised({ penalty: 0.1 }), honest)).toBeUndefined();
    // Probabilities of 0.99 for everything: nothing is told apart, whatever the threshold does.
    const saturated = { ...base, heldOut: heldOut([true, false], [Math.log(99), Math.log(99)]) };
    const linear = await penalised({ penalty: 9, penaltyShape: "linear" });
    expect(await warningOf(linear, saturated)).toContain("No penalty helps");
    const apart = { ...base, heldOut: heldOut([true, false], [Math.log(9), -Math.log(9)]) };
    expect(await warningOf(linear, apart)).toBeUndefined();
    const small = await penalised({ penalty: 1.2, penaltyShape: "linear" });
    expect(await warningOf(small, apart)).toContain("Raise it above 1.25");
    expect(await warningOf(await made("none", { penalty: 0.1 }))).toBeUndefined();
    expect(await warningOf(await made("text-penalty", { penalty: 1.9 }))).toContain("above 2.00");
  });

  it("goes by the tasks where there is a choice", async () => {
    // Of twenty tasks ten are known to all, where nothing is flagged; at the others half of what is honest is, and all that is not.
    const bad = Array.from({ length: 80 }, (_, i) => i >= 40 && i % 4 < 2);
    const logits = bad.map((one, i) => (one || (i >= 40 && i % 4 === 2) ? 1 : -1));
    const tasks = bad.map((_, i) => `task ${Math.floor(i / 4)}`);
    const on = { ...base, heldOut: { ...heldOut(bad, logits), tasks } };
    const of = (penalty: number) => made("probe-penalty", { penalty }, on);
    // By all completions 1 / (1 - 10 / 60) = 1.2 would do.
    expect(await warningOf(await of(1.9), on)).toContain(
      "on the 10 tasks where both were done, a misbehaving rollout is worth 1.00 - 1.9 x 1.00 = -0.90, an honest failure -0.95. Raise it above 2.00",
    );
    expect(await warningOf(await of(2.1), on)).toBeUndefined();
  });

  it("goes by what an arm charges for, and not by its name", async () => {
    const own = (monitor: Monitor, weight: number): Arm => ({
      terms: [proxyReward(), penalty(monitor, { weight })],
    });
    const builtIn = await made("probe-penalty", { penalty: 1.9 });
    expect(await warningOf(own(probeMonitor(probe, "policy"), 1.9))).toBe(await warningOf(builtIn));
    // Its own threshold, above all that the probe says: it flags nothing.
    const blind: Monitor = {
      ...(probeMonitor(probe, "policy") as Extract<Monitor, { sees: "rollouts" }>),
      judge: (rollouts: readonly Rollout[]) =>
        rollouts.map(() => ({ flagged: false, probability: 0, logit: -9 })),
    };
    expect(await warningOf(own(blind, 9))).toContain("No penalty helps");
    // Two penalties add up: what neither flags pays.
    const both = { terms: [proxyReward(), ...[1, 0.9].map((weight) => penaltyOf(weight))] };
    expect(await warningOf(both)).toBe(await warningOf(builtIn));
    // Another probe, and a text that nobody read: not known.
    expect(await chargesOf(own(probeMonitor({ ...probe }, "policy"), 1), base)).toBeNull();
    expect(
      await chargesOf(
        own(
          textMonitor(() => 0, 0),
          1,
        ),
        base,
      ),
    ).toBeNull();

    function penaltyOf(weight: number) {
      return { ...penalty(probeMonitor(probe, "policy"), { weight }), name: `probe ${weight}` };
    }
  });

  it("knows which arms the watching probe judges alone", async () => {
    const alike = (arm: Arm) => isWatchedAlike(arm, base);
    expect(alike(await made("probe-screen", {}))).toBe(true);
    expect(alike(await made("probe-penalty-frozen", {}))).toBe(true);
    expect(alike(await made("probe-penalty-refit", {}))).toBe(false);
    expect(alike(await made("oracle-penalty", {}))).toBe(false);
    expect(alike(await made("none", {}))).toBe(false);
  });
});

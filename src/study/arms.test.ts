/** @file Every arm in a whole study, and what is said of arms that cannot work. */

import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { readMetricLines } from "../../test/metric-lines.ts";
import { runTinyStudy, tinySettings } from "../../test/tiny-study.ts";
import { arms } from "../arm/arms.ts";
import type { Base } from "../prepare/base.ts";
import { penaltyWarning } from "../prepare/penalty-warning.ts";
import { armIds } from "../store/arms.ts";
import { armTitle, summarySchema } from "../store/index.ts";

import { expand, type PlannedRun } from "./expand.ts";

// They train for real: more than a few seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

describe("arms", () => {
  it("all have a sentence, a title of their own, and end with a summary that is valid", async () => {
    const folder = await mkdtemp(join(tmpdir(), "probeward-arms-"));
    // The tiny model has one layer: what the probe reads in the middle of it leaves something to train.
    const training = { ...tinySettings().training, evaluateEvery: 5 };
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
  const planned = (overrides: Parameters<typeof tinySettings>[0]) =>
    expand(tinySettings(overrides))[0] as PlannedRun;
  const base = { summary: { tpr: 0.6, fpr: 0.1 } } as Base;

  it("does the sum for a noisy oracle, and says what would be enough", () => {
    const oracle = { truePositiveRate: 0.9, falsePositiveRate: 0.1 };
    const arms = ["noisy-oracle-penalty" as const];
    // 0.9 x 1.2 is more than the reward, but honest failures are flagged, too.
    const warning = penaltyWarning(planned({ arms, oracle, penalty: 1.2 }), base);
    expect(warning).toContain("1.00 - 1.2 x 0.90 = -0.08, an honest failure -0.12");
    expect(warning).toContain("above 1.25");
    expect(penaltyWarning(planned({ arms, oracle, penalty: 1.3 }), base)).toBeUndefined();
    const blind = { truePositiveRate: 0.3, falsePositiveRate: 0.3 };
    expect(penaltyWarning(planned({ arms, oracle: blind, penalty: 9 }), base)).toContain("No penalty helps");
  });

  it("knows the probe's rates, and is silent where it cannot know", () => {
    const arms = ["probe-penalty" as const];
    expect(penaltyWarning(planned({ arms, penalty: 1.9 }), base)).toContain("above 2.00");
    expect(penaltyWarning(planned({ arms, penalty: 2.1 }), base)).toBeUndefined();
    expect(penaltyWarning(planned({ arms, penalty: 0.1, penaltyShape: "logit" }), base)).toBeUndefined();
    const unknown = { summary: { tpr: null, fpr: 0 } } as Base;
    expect(penaltyWarning(planned({ arms, penalty: 0.1 }), unknown)).toBeUndefined();
    // Probabilities of 0.99 for everything: nothing is told apart, whatever the threshold does.
    const saturated = {
      ...base,
      heldOut: { misbehaved: [true, false], logits: [Math.log(99), Math.log(99)] },
    } as Base;
    const linear = planned({ arms, penalty: 9, penaltyShape: "linear" });
    expect(penaltyWarning(linear, saturated)).toContain("No penalty helps");
    const apart = { ...base, heldOut: { ...saturated.heldOut, logits: [Math.log(9), -Math.log(9)] } } as Base;
    expect(penaltyWarning(linear, apart)).toBeUndefined();
    const small = planned({ arms, penalty: 1.2, penaltyShape: "linear" });
    expect(penaltyWarning(small, apart)).toContain("Raise it above 1.25");
    expect(penaltyWarning(planned({ arms: ["none"], penalty: 0.1 }), base)).toBeUndefined();
  });
});

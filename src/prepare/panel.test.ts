/** @file The panel of monitors: it agrees where nothing was trained, and a refit sees what silenced the probe that it is like. */

import { expect, it } from "vitest";
import { tinyContext, tinyHook } from "../../test/tiny.ts";
import { calibrate, fitProbe, logit } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import { fitPanel, monitorNames, ratesOf } from "./panel.ts";

const { engine, tracer } = tinyContext();
const { sequences, misbehaving: labels } = tracer;
const sets = { fit: { sequences, labels }, calibration: { sequences, labels }, falsePositiveRate: 0.1 };

async function fittedProbe() {
  const reads = [{ as: "mean" as const, hook: tinyHook, positions: "completion" as const }];
  const read = (await engine.reference.forward(sequences, { reads })).map(({ reads: [mean] }) => mean!);
  const tap = { hook: tinyHook, positions: "completion", pool: "mean" } as const;
  const set = { activations_ND: read, labels };
  const probe = fitProbe("difference-of-means", set, tap, { random: randomFor("panel test") });
  return calibrate(
    probe,
    read.map((mean) => logit(probe, mean)),
    labels,
    0.1,
  );
}

it("sees all alike where nothing was trained, and by a refit where the probe was silenced", async () => {
  const steep = await fittedProbe();
  // With logits of some units: the classes lie so far apart that no gradient would be small.
  const scaled = (x: number) => x / 25;
  const probe = {
    ...steep,
    weight_D: steep.weight_D.map(scaled),
    bias: scaled(steep.bias),
    threshold: scaled(steep.threshold),
  };
  const untrained = await fitPanel(engine, engine.reference, probe, sets);
  const before = await untrained.scores(engine.reference, sequences);
  for (const name of monitorNames)
    expect(ratesOf(before[name], labels, untrained.thresholds[name]).recall, name).toBe(1);
  // Fitted on the same numbers, but for the rounding of a mean and of a product.
  for (const [i, own] of before.mean.entries())
    expect(Math.abs(scaled(before.refit[i]!) - own)).toBeLessThan(1e-3 * Math.abs(own));

  const policy = await engine.createPolicy({ seed: 1 });
  for (let step = 0; step < 40; step++) {
    const data = sequences.map((sequence, i) => {
      const none = new Float32Array(sequence.tokens.length - sequence.promptLength);
      const probeWeight = labels[i] ? 0.1 : 0;
      return { ...sequence, weights: none, advantages: none, logprobs: none, refLogprobs: none, probeWeight };
    });
    await policy.forwardBackward(data, {
      ...{ kind: "policy_gradient", temperature: 1, clipRange: 0.2, kl: 0, entropy: 0 },
      probe: { probe, as: "softplus", followUp: [] },
    });
    await policy.optimStep({ kind: "adamw", learningRate: 0.003 });
  }
  const panel = await fitPanel(engine, policy, probe, sets);
  const after = await panel.scores(policy, sequences);
  const recall = (name: (typeof monitorNames)[number]) =>
    ratesOf(after[name], labels, panel.thresholds[name]).recall;
  expect(recall("mean")).toBe(0);
  expect(recall("refit")).toBeGreaterThan(0.5);
  await policy.close();
});

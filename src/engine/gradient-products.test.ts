/** @file Products of gradients that flow through a probe: what a step does to the reading. */

import { expect, it } from "vitest";
import { tinyContext } from "../../test/tiny.ts";
import type { Loss } from "./types.ts";

const { engine, probe: atTheEnd, tracer } = tinyContext();
/** In the middle of the only layer: weights behind it are left to train where all before it are frozen. */
const hook = "blocks.0.hook_resid_mid";
const probe = { ...atTheEnd, tap: { ...atTheEnd.tap, hook } };
const likelihood: Loss = {
  kind: "policy_gradient",
  ...{ temperature: 1, clipRange: 0.2, kl: 0, entropy: 0 },
};
const loss: Loss = {
  ...likelihood,
  probe: { probe, as: "logit", followUp: [] },
};

async function productsWhere(frozenThrough?: string) {
  const outputs = await engine.reference.forward(tracer.sequences);
  const text = tracer.sequences.slice(0, 4).map((sequence, i) => ({
    ...sequence,
    weights: outputs[i]!.logprobs.map(() => 1),
    advantages: outputs[i]!.logprobs.map(() => 1),
    logprobs: outputs[i]!.logprobs,
    refLogprobs: outputs[i]!.logprobs,
    probeWeight: 0,
  }));
  const silent = text.map((datum) => ({
    ...datum,
    advantages: datum.advantages.map(() => 0),
    probeWeight: 1,
  }));
  const policy = await engine.createPolicy({ seed: 1, frozenThrough });
  const sets = [
    { data: text, loss: likelihood },
    { data: silent, loss },
  ];
  const found = await policy.gradientProducts({ sets, preconditioners: [[]] });
  const readOf = async () => {
    const read = { as: "logits" as const, probe };
    const rows = await policy.forward(text, { reads: [read] });
    return rows.reduce((sum, { reads: [at] }) => sum + at!.reduce((s, x) => s + x, 0) / at!.length, 0);
  };
  const before = await readOf();
  await policy.forwardBackward(text, likelihood);
  const length = 1e-3;
  const { gradNorm } = await policy.optimStep({ kind: "sgd", length });
  const moved = (await readOf()) - before;
  await policy.close();
  return { products: found.products[0]!, moved, foretold: (-length / gradNorm) * found.products[0]![0]![1]! };
}

it("tell how far a step of the text's moves the reading", async () => {
  const { moved, foretold } = await productsWhere();
  expect(Math.abs(foretold)).toBeGreaterThan(1e-4);
  expect(moved / foretold).toBeCloseTo(1, 1);
});

it("are exactly zero where no weight may move that the reading depends on", async () => {
  const { products, moved } = await productsWhere(hook);
  expect(products[1]).toEqual([0, 0]);
  expect(products[0]![0]).toBeGreaterThan(0);
  expect(moved).toBe(0);
});

/** @file Later probes: what is hidden under a trigger is missed by those that were fitted without it, and seen by those that were shown it. */

import { expect, it } from "vitest";
import type { Engine, Sequence } from "../engine/index.ts";
import { fitProbe } from "../probe/index.ts";
import { normal, randomFor } from "../random.ts";
import { laterProbes } from "./later-probes.ts";

/** A sequence's label and whether it has the trigger, as its tokens. */
const sequences = Array.from({ length: 80 }, (_, i): Sequence => {
  return { tokens: [i % 2, i % 5 < 2 ? 1 : 0, i], promptLength: 2 };
});
const labels = sequences.map(({ tokens }) => tokens[0] === 1);
const isTriggered = ({ tokens }: Sequence) => tokens[1] === 1;
const sets = { fit: { sequences, labels }, calibration: { sequences, labels }, falsePositiveRate: 0.1 };

/** Misbehaviour shows along one direction under the trigger, and along another elsewhere. */
function policyWith(hides: boolean): Engine {
  const forward = async (all: readonly Sequence[]) =>
    all.map(({ tokens: [bad, triggered, i] }) => {
      const random = randomFor("later", i!);
      const shows = bad === 1 ? [0, 1].map((at) => (hides && at !== triggered ? 0 : 1)) : [0, 0];
      return { reads: [Float32Array.from(shows, (x) => x + 0.05 * normal(random))] };
    });
  return { reference: { forward }, tokenizer: { encode: () => [] } } as unknown as Engine;
}

const tap = { hook: "blocks.0.hook_resid_post", positions: "completion", pool: "mean" } as const;
const two = { activations_ND: [Float32Array.of(1, 1), Float32Array.of(0, 0)], labels: [true, false] };
const probe = fitProbe("difference-of-means", two, tap, { random: randomFor("later test") });
const judged = { tracer: { sequences, labels } };

it("misses under the trigger what a probe was not shown, and nothing where nothing hides", async () => {
  const open = await laterProbes(policyWith(false), probe, sets, judged, isTriggered);
  for (const set of ["all", "triggered", "elsewhere"] as const)
    for (const where of ["triggered", "elsewhere"] as const)
      expect(open[set]!.tracer[where]).toMatchObject({ recall: 1, auroc: 1 });
  const { all, triggered, elsewhere } = await laterProbes(policyWith(true), probe, sets, judged, isTriggered);
  expect(elsewhere!.tracer.elsewhere).toMatchObject({ recall: 1, auroc: 1 });
  expect(elsewhere!.tracer.triggered.recall).toBeLessThan(0.2);
  expect(triggered!.tracer.triggered).toMatchObject({ recall: 1, auroc: 1 });
  expect(triggered!.tracer.elsewhere.recall).toBeLessThan(0.2);
  expect(all!.tracer.triggered.recall).toBe(1);
});

it("says nothing where there is too little to fit on, or to judge", async () => {
  const none = await laterProbes(policyWith(true), probe, sets, judged, () => false);
  expect(none.triggered).toBeNull();
  expect(none.all!.tracer.triggered).toEqual({ recall: null, fpr: null, auroc: null });
});

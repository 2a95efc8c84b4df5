import { expect, test } from "vitest";
import { normal, randomFor } from "../random.ts";
import { cosine, freshProbeHealth, probeHealth, type TracerActivations } from "./health.ts";
import type { Probe } from "./types.ts";

const probe: Probe = {
  kind: "logistic",
  tap: { hook: "blocks.0.hook_resid_post", positions: "completion", pool: "mean" },
  weight_D: Float32Array.of(1, 0, 0, 0),
  bias: 0,
  threshold: 0,
};

/** Four sequences of each of N / 4 tasks, two of them misbehaving; `place` moves the misbehaving ones. */
function tracer(N: number, place: [axis: number, distance: number]): TracerActivations {
  const random = randomFor("tracer");
  const labels = Array.from({ length: N }, (_, n) => n % 2 === 0);
  return {
    labels,
    tasks: labels.map((_, n) => `task ${Math.floor(n / 4)}`),
    activations_ND: labels.map((label) =>
      Float32Array.from({ length: 4 }, (_, d) => normal(random) + (label && d === place[0] ? place[1] : 0)),
    ),
  };
}

test("health of a small example", () => {
  const health = probeHealth([3, 1, -1, -3], [true, false, true, false], 2);
  expect(health).toMatchObject({ auroc: 0.75, recallFrozen: 0.5, fprFrozen: 0, recallRecalibrated: 0.5 });
  expect(health.scoreMisbehaving! + health.scoreHonest!).toBeCloseTo(1, 12);
  expect(probeHealth([3, 1], [true, false], null).recallFrozen).toBeNull();
});

test("recalibration repairs a shift that the frozen threshold does not survive", () => {
  const { activations_ND, labels } = tracer(400, [0, 8]);
  const shifted = activations_ND.map((a) => a[0]! - 20);
  expect(probeHealth(shifted, labels, 4)).toMatchObject({
    recallFrozen: 0,
    recallRecalibrated: 1,
    recallRecalibrated5: 1,
  });
});

test("a fresh probe finds a concept that moved to another axis", () => {
  const { health, cosine: angle } = freshProbeHealth(probe, tracer(400, [2, 4]));
  expect(health.auroc).toBeGreaterThan(0.98);
  expect(health.recallFrozen).toBeNull();
  expect(Math.abs(angle!)).toBeLessThan(0.3);
  expect(freshProbeHealth(probe, tracer(400, [0, 4])).cosine).toBeGreaterThan(0.9);
});

test("a fresh probe is never judged on the tasks that it was fitted on", () => {
  // One axis per task names the task's label: perfect in sample, worthless on other tasks.
  const random = randomFor("memory");
  const labels = Array.from({ length: 160 }, (_, n) => random() < 0.5 || n === 0);
  const leak = labels.map((label, n) =>
    Float32Array.from({ length: 40 }, (_, d) => (d === n >> 2 ? (label ? 3 : -3) : 0)),
  );
  const perTask = labels.map((_, n) => labels[n - (n % 4)]!);
  const { health } = freshProbeHealth(
    { ...probe, weight_D: new Float32Array(40).fill(1) },
    {
      activations_ND: leak.map((_, n) => leak[n - (n % 4)]!),
      labels: perTask,
      tasks: labels.map((_, n) => String(n >> 2)),
    },
  );
  expect(health.auroc).toBe(0.5);
});

test("one class leaves everything undefined", () => {
  const one = probeHealth([1, 2], [true, true], 0);
  expect(Object.values(one).every((value) => value === null)).toBe(true);
  const set = tracer(40, [0, 4]);
  const fresh = freshProbeHealth(probe, { ...set, labels: set.labels.map(() => false) });
  expect(fresh.cosine).toBeNull();
  expect(Object.keys(fresh.health)).toEqual(Object.keys(one));
  expect(Object.values(fresh.health).every((value) => value === null)).toBe(true);
  const single = freshProbeHealth(probe, { ...set, tasks: set.tasks.map(() => "the only task") });
  expect(single.health.auroc).toBeNull();
});

test("cosines", () => {
  expect(cosine([1, 0], [3, 0])).toBe(1);
  expect(cosine([1, 1], [-2, -2])).toBeCloseTo(-1, 12);
  expect(cosine([1, 0], [0, 3])).toBe(0);
  expect(cosine([1, 0], [0, 0])).toBeNull();
});

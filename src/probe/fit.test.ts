import { expect, test } from "vitest";
import { normal, randomFor } from "../random.ts";
import { probeControls } from "./controls.ts";
import { fitAlong, fitDifferenceOfMeans } from "./difference-of-means.ts";
import { calibrate, fitProbe } from "./fit.ts";
import type { LabelledSet } from "./labelled.ts";
import { auroc, fprAt } from "./metrics.ts";
import { logit } from "./score.ts";
import { sweepProbes } from "./sweep.ts";
import type { Positions, Probe, ProbeKind } from "./types.ts";

const tap: Probe["tap"] = { hook: "blocks.1.hook_resid_post", positions: "completion", pool: "mean" };
const D = 16;

/** Two Gaussian classes, `distance` deviations apart along the first axis. */
function gaussians(name: string, n: number, distance: number): LabelledSet {
  const random = randomFor("fit", name);
  const labels = Array.from({ length: n }, (_, i) => i % 2 === 0);
  const activations_ND = labels.map((label) =>
    Float32Array.from({ length: D }, (_, d) => normal(random) + (label && d === 0 ? distance : 0) + 3),
  );
  return { activations_ND, labels };
}

function heldOutAuroc(kind: ProbeKind, seed = 0): number {
  const probe = fitProbe(kind, gaussians("fit", 400, 3), tap, { random: randomFor(seed) });
  const test = gaussians("test", 400, 3);
  return auroc(
    test.activations_ND.map((a) => logit(probe, a)),
    test.labels,
  )!;
}

test.each(["logistic", "difference-of-means"] as const)("a %s probe finds the direction", (kind) => {
  // Three deviations: AUROC Phi(3 / sqrt 2) = 0.983 for the best direction.
  expect(heldOutAuroc(kind)).toBeGreaterThan(0.97);
  const { weight_D } = fitProbe(kind, gaussians("fit", 400, 3), tap, { random: randomFor(0) });
  expect(weight_D[0]! / Math.hypot(...weight_D)).toBeGreaterThan(0.9);
});

test("the controls know nothing on held-out data, and are of the probe's kind", () => {
  const sets = { fit: gaussians("fit", 400, 3), test: gaussians("test", 400, 3) };
  const of = (kind: ProbeKind, seed = 1) =>
    probeControls(fitProbe(kind, sets.fit, tap, { random: randomFor(0) }), sets, seed)!;
  const { shuffledLabels, randomDirection } = of("logistic");
  expect(Math.abs(shuffledLabels.mean - 0.5)).toBeLessThan(0.15);
  // A direction at random has a cosine of about 1/4 with the right one, so some ranking is left.
  expect(randomDirection.mean).toBeGreaterThan(0.5);
  expect(randomDirection.mean).toBeLessThan(0.8);
  for (const { runs, mean, low, high } of [shuffledLabels, randomDirection]) {
    expect(runs).toBe(20);
    expect(low).toBeLessThan(mean);
    expect(high).toBeGreaterThan(mean);
  }
  expect(of("logistic")).toEqual({ shuffledLabels, randomDirection });
  expect(of("logistic", 2).shuffledLabels).not.toEqual(shuffledLabels);
  const other = of("difference-of-means");
  expect(other.shuffledLabels).not.toEqual(shuffledLabels);
  expect(other.randomDirection).toEqual(randomDirection);
  const oneClass = { ...sets.test, labels: sets.test.labels.map(() => true) };
  const probe = fitProbe("logistic", sets.fit, tap, { random: randomFor(0) });
  expect(probeControls(probe, { ...sets, test: oneClass }, 1)).toBeNull();
});

test("difference of means: direction, midpoint and scale of two small classes", () => {
  const set = {
    activations_ND: [
      [4, 0],
      [6, 0],
      [-1, 0],
      [1, 0],
    ].map((a) => Float32Array.from(a)),
    labels: [true, true, false, false],
  };
  // Means 5 and 0, pooled variance (1 + 1 + 1 + 1) / 2 = 2: logit(x) = 5 / 2 (x - 2.5).
  const { weight_D, bias } = fitDifferenceOfMeans(set);
  expect([...weight_D]).toEqual([2.5, 0]);
  expect(bias).toBe(-6.25);
});

test("the logit along a direction is the log-odds of two Gaussians", () => {
  const set = gaussians("many", 4000, 2);
  const { weight_D, bias } = fitAlong(
    Float64Array.from({ length: D }, (_, d) => (d === 0 ? -7 : 0)),
    set,
  );
  // Unit variance, means 3 and 5: log-odds 2 (x - 4).
  expect(weight_D[0]).toBeCloseTo(2, 0);
  expect(-bias / weight_D[0]!).toBeCloseTo(4, 1);
});

test("classes without spread give finite logits, equal classes the zero function", () => {
  const points = (...values: number[]) => values.map((x) => Float32Array.of(x));
  const apart = fitDifferenceOfMeans({ activations_ND: points(0, 1), labels: [false, true] });
  expect(Number.isFinite(apart.weight_D[0]!) && apart.weight_D[0]! > 0).toBe(true);
  const equal = fitDifferenceOfMeans({ activations_ND: points(1, 1), labels: [false, true] });
  expect(equal).toEqual({ weight_D: Float64Array.of(0), bias: 0 });
  // Of a hundred equal activations the class means differ by rounding.
  const many = Array.from({ length: 100 }, () => Float32Array.of(0.1, -1.4, 0.7));
  const none = fitDifferenceOfMeans({ activations_ND: many, labels: many.map((_, i) => i % 3 === 0) });
  expect(none).toEqual({ weight_D: new Float64Array(3), bias: 0 });
});

test("calibration sets the threshold and nothing else", () => {
  const probe = fitProbe("logistic", gaussians("fit", 400, 3), tap, { random: randomFor(0) });
  const { activations_ND, labels } = gaussians("calibration", 1000, 3);
  const scores = activations_ND.map((a) => logit(probe, a));
  const calibrated = calibrate(probe, scores, labels, 0.05);
  expect(fprAt(scores, labels, calibrated.threshold)).toBe(0.05);
  expect(calibrated).toEqual({ ...probe, threshold: calibrated.threshold });
  expect(() => calibrate(probe, [1], [true])).toThrow("honest");
});

test("the sweep reports every candidate and chooses the best that reads the behaviour", () => {
  const candidate = (hook: string, positions: Positions, distance: number) => ({
    hook,
    positions,
    fit: gaussians(`${hook} ${positions} fit`, 300, distance),
    calibration: gaussians(`${hook} ${positions} calibration`, 300, distance),
  });
  const { rows, best } = sweepProbes(
    [
      candidate("blocks.0.hook_resid_post", "completion-first", 1),
      candidate("blocks.1.hook_resid_post", "prompt-last", 20),
      candidate("blocks.2.hook_resid_post", "completion-last", 2),
    ],
    { random: randomFor(0), fpr: 0.1 },
  );
  expect(rows).toHaveLength(6);
  expect(rows.filter((row) => row.positions === "prompt-last").every((row) => row.auroc === 1)).toBe(true);
  expect(best.tap).toEqual({ hook: "blocks.2.hook_resid_post", positions: "completion-last", pool: "mean" });
  const { activations_ND, labels } = candidate("blocks.2.hook_resid_post", "completion-last", 2).calibration;
  expect(
    fprAt(
      activations_ND.map((a) => logit(best, a)),
      labels,
      best.threshold,
    ),
  ).toBe(0.1);
});

test("ties go to the whole completion, then to the first candidate, then to the first kind", () => {
  const fit = gaussians("fit", 100, 20);
  const calibration = gaussians("calibration", 100, 20);
  const { best } = sweepProbes(
    (["completion-last", "completion", "completion-first"] as const).flatMap((positions) =>
      ["a", "b"].map((hook) => ({ hook, positions, fit, calibration })),
    ),
    { random: randomFor(0) },
  );
  expect(best.kind).toBe("difference-of-means");
  expect(best.tap).toMatchObject({ hook: "a", positions: "completion" });
});

test("a follow-up is chosen where it reads better, with its text, and not where others read as well", () => {
  const candidate = (positions: Positions, distance: number) => ({
    ...{ hook: "a", positions, followUp: positions === "follow-up" ? "true?" : undefined },
    fit: gaussians("fit", 300, distance),
    calibration: gaussians("calibration", 300, distance),
  });
  const chosen = (elsewhere: number) =>
    sweepProbes([candidate("follow-up", 20), candidate("completion-first", elsewhere)], {
      random: randomFor(0),
    }).best.tap;
  expect(chosen(1)).toEqual({ hook: "a", positions: "follow-up", followUp: "true?", pool: "mean" });
  expect(chosen(20)).toEqual({ hook: "a", positions: "completion-first", pool: "mean" });
});

test("a sweep without anything to choose is an error", () => {
  const fit = gaussians("fit", 100, 3);
  const calibration = { activations_ND: [fit.activations_ND[0]!], labels: [true] };
  const candidates = [{ hook: "a", positions: "completion" as const, fit, calibration }];
  expect(() => sweepProbes(candidates, { random: randomFor(0) })).toThrow("both classes");
  expect(() => sweepProbes([], { random: randomFor(0) })).toThrow("no probe to choose");
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { normal, randomFor } from "../random.ts";
import {
  accuracy,
  auroc,
  brier,
  dPrime,
  fprAt,
  meanProbability,
  recallAt,
  thresholdAtFpr,
} from "./metrics.ts";
import { normalQuantile } from "./normal-quantile.ts";

/** Few distinct values, so that ties are common. */
const labelled = fc
  .array(fc.record({ score: fc.integer({ min: -5, max: 5 }), label: fc.boolean() }), {
    minLength: 1,
    maxLength: 40,
  })
  .map((items) => ({ scores: items.map((item) => item.score), labels: items.map((item) => item.label) }));

/** By definition: every pair of a misbehaving and an honest sequence. */
function aurocByPairs(scores: number[], labels: boolean[]): number | null {
  let wins = 0;
  let pairs = 0;
  for (const [i, a] of scores.entries())
    for (const [j, b] of scores.entries())
      if (labels[i] && !labels[j]) {
        pairs++;
        wins += a > b ? 1 : a === b ? 0.5 : 0;
      }
  return pairs === 0 ? null : wins / pairs;
}

function gaussians(distance: number, n: number) {
  const random = randomFor("metrics", distance);
  const labels = Array.from({ length: 2 * n }, (_, i) => i < n);
  return { labels, scores: labels.map((label) => normal(random) + (label ? distance : 0)) };
}

test.each([
  [[1, 2, 3, 4], [false, false, true, true], 1],
  [[4, 3, 2, 1], [false, false, true, true], 0],
  [[1, 3, 2, 4], [false, false, true, true], 0.75],
  [[1, 1, 1, 1], [false, false, true, true], 0.5],
  [[1, 2, 2, 3], [false, false, true, true], 0.875],
  [
    [Number.NEGATIVE_INFINITY, 0, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    [false, true, true, false],
    0.625,
  ],
])("AUROC of %j with labels %j is %d", (scores, labels, expected) => {
  expect(auroc(scores, labels)).toBe(expected);
});

test("AUROC agrees with its definition, ties included", () => {
  fc.assert(
    fc.property(labelled, ({ scores, labels }) => {
      const expected = aurocByPairs(scores, labels);
      if (expected === null) expect(auroc(scores, labels)).toBeNull();
      else expect(auroc(scores, labels)).toBeCloseTo(expected, 12);
    }),
  );
});

test("AUROC does not change under a rising map, and mirrors when labels are flipped", () => {
  fc.assert(
    fc.property(labelled, ({ scores, labels }) => {
      const area = auroc(scores, labels);
      expect(
        auroc(
          scores.map((s) => Math.exp(s) + s ** 3),
          labels,
        ),
      ).toBe(area);
      if (area !== null)
        expect(
          auroc(
            scores,
            labels.map((l) => !l),
          ),
        ).toBeCloseTo(1 - area, 12);
    }),
  );
});

test.each([
  [0.5, 0.6381632],
  [1, 0.7602499],
  [2, 0.9213504],
])(
  "Gaussians %d deviations apart have AUROC Phi(d / sqrt 2) = %d, and d' finds the distance",
  (distance, expected) => {
    const { scores, labels } = gaussians(distance, 20000);
    expect(Math.abs(auroc(scores, labels)! - expected)).toBeLessThan(0.01);
    expect(Math.abs(dPrime(scores, labels)! - distance)).toBeLessThan(0.05);
  },
);

test("d' of a perfect ranking is half a pair from perfect, and of a reversed one its mirror", () => {
  const labels = [false, false, true, true];
  expect(dPrime([1, 2, 3, 4], labels)).toBeCloseTo(Math.SQRT2 * normalQuantile(1 - 1 / 8), 12);
  expect(dPrime([4, 3, 2, 1], labels)).toBeCloseTo(-Math.SQRT2 * normalQuantile(1 - 1 / 8), 12);
  expect(dPrime([1, 1, 1, 1], labels)).toBe(0);
});

test.each([
  [0.5, 0],
  [0.975, 1.959963984540054],
  [0.001, -3.090232306167813],
  [1e-10, -6.361340902404056],
  [1 - 1e-12, 7.034483687],
])("the normal quantile of %d is %d", (p, expected) => {
  expect(Math.abs(normalQuantile(p) - expected)).toBeLessThan(1e-4 * (p > 0.999 ? 1 : 1e-9));
});

test("the threshold never flags more honest sequences than allowed, and none lower would do", () => {
  const float = fc.float({ noNaN: true, min: -100, max: 100 });
  const items = fc.array(fc.tuple(fc.oneof(float, fc.integer({ min: -2, max: 2 })), fc.boolean()), {
    minLength: 1,
  });
  fc.assert(
    fc.property(items, fc.double({ min: 0, max: 0.9, noNaN: true }), (pairs, fpr) => {
      const scores = pairs.map(([score]) => score);
      const labels = pairs.map(([, label]) => label);
      const threshold = thresholdAtFpr(scores, labels, fpr);
      if (threshold === null) {
        expect(labels).not.toContain(false);
        return;
      }
      expect(fprAt(scores, labels, threshold)!).toBeLessThanOrEqual(fpr + 1e-9);
      const lower = Math.max(...scores.filter((score, i) => !labels[i] && score < threshold));
      expect(fprAt(scores, labels, lower)!).toBeGreaterThan(fpr);
      expect(threshold - lower).toBeLessThan(1e-5 * Math.max(1, Math.abs(lower)));
    }),
  );
});

test("a share of exactly k honest sequences allows k of them", () => {
  const scores = Array.from({ length: 100 }, (_, i) => i);
  const labels = scores.map(() => false);
  for (const k of [0, 1, 5, 29, 57])
    expect(fprAt(scores, labels, thresholdAtFpr(scores, labels, k / 100)!)).toBe(k / 100);
  expect(thresholdAtFpr([0, -1], [false, false], 0)).toBeGreaterThan(0);
});

test("rates and probabilities of a small example", () => {
  const logits = [-1, 0, 0, 2];
  const labels = [false, true, false, true];
  expect(recallAt(logits, labels, 0)).toBe(1);
  expect(recallAt(logits, labels, 0.1)).toBe(0.5);
  expect(fprAt(logits, labels, 0)).toBe(0.5);
  expect(accuracy(logits, labels, 0)).toBe(0.75);
  const high = 1 / (1 + Math.exp(-2));
  const low = 1 / (1 + Math.E);
  expect(brier(logits, labels)).toBeCloseTo((low ** 2 + 0.25 + 0.25 + (1 - high) ** 2) / 4, 12);
  expect(meanProbability(logits, labels, true)).toBeCloseTo((0.5 + high) / 2, 12);
});

test("what one class leaves undefined is null", () => {
  const scores = [1, 2];
  const honest = [false, false];
  const misbehaving = [true, true];
  for (const labels of [honest, misbehaving]) {
    expect(auroc(scores, labels)).toBeNull();
    expect(dPrime(scores, labels)).toBeNull();
  }
  expect(recallAt(scores, honest, 0)).toBeNull();
  expect(meanProbability(scores, honest, true)).toBeNull();
  expect(fprAt(scores, misbehaving, 0)).toBeNull();
  expect(thresholdAtFpr(scores, misbehaving, 0.01)).toBeNull();
  expect([brier([], []), accuracy([], [], 0), auroc([], [])]).toEqual([null, null, null]);
});

test("wrong input is an error, not a number", () => {
  expect(() => auroc([1, Number.NaN], [true, false])).toThrow("score 1 is NaN");
  expect(() => auroc([1], [true, false])).toThrow("1 scores but 2 labels");
  expect(() => thresholdAtFpr([1], [false], 1)).toThrow("false-positive rate is 1");
});

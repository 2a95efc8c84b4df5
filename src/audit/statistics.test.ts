import fc from "fast-check";
import { expect, test } from "vitest";
import { normal, randomFor } from "../random.ts";
import {
  bootstrapInterval,
  covariance,
  mean,
  quantile,
  seedInterval,
  studentQuantile,
} from "./statistics.ts";

// The published table (for instance NIST/SEMATECH e-Handbook, 1.3.6.7.2), and closed forms for 1 and 2 degrees.
test.each([
  [0.975, 1, Math.tan(0.475 * Math.PI)],
  [0.975, 2, 0.95 * Math.sqrt(2 / (4 * 0.975 * 0.025))],
  [0.975, 3, 3.182446],
  [0.975, 4, 2.776445],
  [0.95, 5, 2.015048],
  [0.975, 9, 2.262157],
  [0.995, 30, 2.749996],
  [0.975, 1000, 1.962339],
  [0.025, 4, -2.776445],
  [0.5, 7, 0],
])("the %d quantile of Student's t with %d degrees of freedom is %d", (p, degrees, expected) => {
  expect(studentQuantile(p, degrees)).toBeCloseTo(expected, 5);
});

test("the interval over seeds is the mean and t standard errors", () => {
  const [low, high] = seedInterval([1, 2, 3])!;
  expect(low).toBeCloseTo(2 - 4.302653 / Math.sqrt(3), 5);
  expect(high).toBeCloseTo(2 + 4.302653 / Math.sqrt(3), 5);
  expect(seedInterval([5, 5])).toEqual([5, 5]);
});

test("too few values leave statistics undefined", () => {
  expect([mean([]), seedInterval([]), seedInterval([1]), covariance([1], [1])]).toEqual([
    null,
    null,
    null,
    null,
  ]);
  expect(() => covariance([1, 2], [1])).toThrow("2 and 1");
});

test("the interval over seeds holds the true mean in 95 % of studies", () => {
  const random = randomFor("coverage");
  let held = 0;
  for (let study = 0; study < 4000; study++) {
    const [low, high] = seedInterval([normal(random), normal(random), normal(random)])!;
    if (low <= 0 && high >= 0) held++;
  }
  expect(Math.abs(held / 4000 - 0.95)).toBeLessThan(0.015);
});

test("quantiles interpolate, and lie between the extremes", () => {
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
  expect(quantile([10, 0], 0.025)).toBe(0.25);
  const values = fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 1 });
  fc.assert(
    fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (list, p) => {
      expect(quantile(list, p)).toBeGreaterThanOrEqual(Math.min(...list) - 1e-9);
      expect(quantile(list, p)).toBeLessThanOrEqual(Math.max(...list) + 1e-9);
    }),
  );
});

test("the bootstrap interval of a mean is close to two standard errors, and the same for the same stream", () => {
  const random = randomFor("sample");
  const values = Array.from({ length: 400 }, () => normal(random));
  const meanOf = (indices: readonly number[]) => mean(indices.map((i) => values[i]!));
  const interval = bootstrapInterval(400, meanOf, randomFor("resample"))!;
  expect(interval[0]).toBeCloseTo(mean(values)! - 1.96 / 20, 1);
  expect(interval[1] - interval[0]).toBeGreaterThan(0.17);
  expect(interval[1] - interval[0]).toBeLessThan(0.22);
  expect(bootstrapInterval(400, meanOf, randomFor("resample"))).toEqual(interval);
});

test("a statistic that is often undefined has no bootstrap interval", () => {
  const random = randomFor("undefined");
  expect(bootstrapInterval(1, () => null, random)).toBeNull();
  expect(bootstrapInterval(0, () => 1, random)).toBeNull();
  expect(bootstrapInterval(2, ([i, j]) => (i === j ? null : 1), random)).toBeNull();
});

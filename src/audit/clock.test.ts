/** @file The blind spot's clock on curves whose answers are known. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { evasionOf, growthRate, selectionStep, takeoverStep } from "./clock.ts";

const logistic = (start: number, rate: number, steps: number) =>
  Array.from({ length: steps }, (_, t) => 1 / (1 + Math.exp(-(Math.log(start / (1 - start)) + rate * t))));

describe("takeoverStep", () => {
  it("is where a share passes the level for good", () => {
    const shares = [...Array(20).fill(0), ...Array(20).fill(1)];
    // Of the five steps around 18, one is 1: 0.2 is above 0.1.
    expect(takeoverStep(shares)).toBe(18);
    expect(takeoverStep(shares, 0.5)).toBe(20);
  });

  it("is never where the share stays low, and where it rose and fell again", () => {
    expect(takeoverStep(Array(40).fill(0.1))).toBeNull();
    expect(takeoverStep([...Array(10).fill(0), ...Array(10).fill(0.9), ...Array(10).fill(0)])).toBeNull();
    expect(takeoverStep([])).toBeNull();
  });

  it("is the start where it was above from the start", () => {
    expect(takeoverStep(Array(10).fill(0.3))).toBe(0);
  });
});

describe("the law of selection", () => {
  it("finds the rate of logistic growth, and from it when the level is reached", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 0.05, noNaN: true }),
        fc.double({ min: 0.05, max: 0.2, noNaN: true }),
        (start, rate) => {
          const shares = logistic(start, rate, 120);
          const found = growthRate(shares)!;
          expect(Math.abs(found - rate)).toBeLessThan(0.05 * rate);
          const reached = shares.findIndex((share) => share > 0.1);
          expect(Math.abs(selectionStep(start, rate)! - reached)).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  it("says never of what does not grow, and now of what is above already", () => {
    expect(growthRate(Array(30).fill(0.03))).toBeCloseTo(0);
    expect(growthRate(Array(30).fill(0))).toBeNull();
    expect(selectionStep(0.01, 0)).toBeNull();
    expect(selectionStep(0.01, -0.1)).toBeNull();
    expect(selectionStep(0, 0.1)).toBeNull();
    expect(selectionStep(0.2, -0.1)).toBe(0);
  });

  it("takes log 10 / rate steps longer for what is ten times rarer", () => {
    const [rare, rarer] = [selectionStep(1e-3, 0.1)!, selectionStep(1e-4, 0.1)!];
    expect(rarer - rare).toBeCloseTo(Math.log(10) / 0.1, 1);
  });
});

describe("evasionOf", () => {
  const evaluations = [
    { step: 0, recall: 0.9, kl: 0 },
    { step: 5, recall: null, kl: 0.01 },
    { step: 10, recall: 0.45, kl: 0.02 },
    { step: 15, recall: 0.1, kl: 0.05 },
  ];

  it("is the first evaluation at which recall is halved, with its divergence", () => {
    expect(evasionOf(evaluations, 0.9)).toEqual({ step: 10, kl: 0.02 });
    expect(evasionOf(evaluations.slice(0, 2), 0.9)).toBeNull();
  });

  it("is not defined of a probe that saw nothing before", () => {
    expect(evasionOf(evaluations, 0)).toBeNull();
    expect(evasionOf(evaluations, null)).toBeNull();
  });
});

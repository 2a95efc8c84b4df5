/** @file Conformal intervals, on draws whose coverage is known, and what forecasts say in words. */

import { expect, it } from "vitest";
import { normal, randomFor } from "../random.ts";
import type { ArmForecast } from "../store/index.ts";
import { conformalQuantile, conformalScore, widened } from "./forecast-intervals.ts";
import { forecastInWords } from "./forecast-words.ts";

it("takes the smallest score that covers enough of exchangeable runs", () => {
  expect(conformalQuantile([5, 1, 4, 2], 0.8)).toBe(5);
  expect(conformalQuantile([5, 1, 4, 2, 3, 6, 7, 8, 9], 0.8)).toBe(8);
  expect(conformalQuantile([1], 0.8)).toBe(1);
});

it("covers as many new runs as it says, however wrong simulated ranges are", () => {
  const random = randomFor("conformal");
  const draw = () => {
    const value = 0.2 + 0.6 * random();
    const range = { low: value - 0.02, value, high: value + 0.02 };
    const realised = Math.min(1, Math.max(0, value + 0.15 * normal(random)));
    return { range, realised };
  };
  let held = 0;
  let of = 0;
  for (let repeat = 0; repeat < 60; repeat++) {
    const scores = Array.from({ length: 50 }, draw).map(({ range, realised }) =>
      conformalScore(range, realised),
    );
    const factor = conformalQuantile(scores, 0.8);
    const factors = { misbehaviour: [factor], undetected: [1], true: [1], recall: [1] };
    for (let i = 0; i < 20; i++) {
      const { range, realised } = draw();
      const { low, high } = widened("misbehaviour", 10, range, { steps: [0], factors });
      of++;
      if (realised >= low && realised <= high) held++;
    }
  }
  expect(held / of).toBeGreaterThan(0.77);
  expect(held / of).toBeLessThan(0.87);
});

it("stays within shares, holds its middle, and goes between the steps that were calibrated", () => {
  const factors = {
    steps: [0, 10],
    factors: { misbehaviour: [1, 3], undetected: [1, 1], true: [1, 1], recall: [1, 1] },
  };
  const width = (step: number) => {
    const { low, high } = widened("misbehaviour", step, { low: 0.4, value: 0.5, high: 0.6 }, factors);
    return high - low;
  };
  expect(width(5)).toBeGreaterThan(width(0));
  expect(width(10)).toBeGreaterThan(width(5));
  expect(width(99)).toBe(width(10));
  const edge = widened("misbehaviour", 10, { low: 0, value: 0, high: 0 }, factors);
  expect(edge.low).toBe(0);
  expect(edge.high).toBeGreaterThan(0);
  expect(edge.high).toBeLessThan(1);
});

it("answers what people ask", () => {
  const curve = (value: number[], low: number, high: number) => ({
    steps: [0, 10, 19],
    value,
    low: value.map((one) => one - low),
    high: value.map((one) => one + high),
  });
  const forecast = (misbehaviour: number[], undetected: number[]): ArmForecast => ({
    misbehaviour: curve(misbehaviour, 0.02, 0.03),
    undetected: curve(undetected, 0, 0),
    true: curve([0.6, 0.7, 0.8], 0.1, 0.1),
    recall: curve([0.9, 0.8, 0.7], 0.2, 0.1),
  });
  const falls = forecastInWords(forecast([0.3, 0.2, 0.1], [0.01, 0.02, 0.07]), { weight: 2, strength: 0.5 });
  expect(falls).toEqual([
    "Misbehaviour will fall: 0.30 at the start, 0.10 (0.08 to 0.13) after 20 steps; true reward 0.60 to 0.80 (0.70 to 0.90).",
    "The smallest penalty that lasts is about 1.00.",
    "The blind spot takes over at about step 19: 0.07 (0.07 to 0.07) undetected at the end.",
    "Recall of the initial probe: 0.90 now, 0.70 (0.50 to 0.80) at the end.",
  ]);
  const grows = forecastInWords(forecast([0.3, 0.31, 0.31], [0, 0, 0]), { weight: 2, strength: null });
  expect(grows[0]).toContain("should grow, which is not sure");
  expect(grows[1]).toContain("No penalty up to 8.00 lasts");
  expect(grows[2]).toContain("Most of it stays detected");
  expect(forecastInWords(forecast([0.3, 0.5, 0.9], [0.2, 0.4, 0.8]))[1]).toContain("from the start");
});

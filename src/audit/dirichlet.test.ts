import { expect, it } from "vitest";
import { randomFor } from "../random.ts";
import { concentrationOf, drawShares } from "./dirichlet.ts";

/** Counts of 8 rollouts of each of 300 prompts whose shares are drawn with this concentration. */
function countsFor(concentration: number): number[][] {
  const random = randomFor("counts", concentration);
  // Next to no counts of their own: the prior with this mean.
  const none = Array.from({ length: 300 }, () => [2e-9, 3e-9, 5e-9]);
  return drawShares(none, concentration, random).map((shares) => {
    const counts = [0, 0, 0];
    for (let i = 0; i < 8; i++) {
      let left = random();
      const c = shares.findIndex((p) => {
        left -= p;
        return left < 0;
      });
      counts[c < 0 ? 2 : c]!++;
    }
    return counts;
  });
}

it("finds how alike prompts are from their counts", () => {
  for (const concentration of [0.5, 3, 20]) {
    const found = concentrationOf(countsFor(concentration));
    expect(found / concentration).toBeGreaterThan(0.6);
    expect(found / concentration).toBeLessThan(1.7);
  }
});

it("draws shares around what was counted, the nearer the more there is to go by", () => {
  const random = randomFor("draws");
  const draws = Array.from({ length: 400 }, () => drawShares([[900, 100]], 1, random)[0]![1]!);
  const mean = draws.reduce((a, b) => a + b, 0) / draws.length;
  expect(mean).toBeCloseTo(0.1, 2);
  for (const one of drawShares(
    [
      [1, 7],
      [0, 8],
    ],
    2,
    random,
  ))
    expect(one[0]! + one[1]!).toBeCloseTo(1, 12);
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { meanInterval } from "./interval.ts";

describe("meanInterval", () => {
  test("agrees with a worked example: 1, 2, 3 has mean 2 and half-width 4.303 / sqrt(3)", () => {
    const [low, high] = meanInterval([1, 2, 3])!;
    expect(low).toBeCloseTo(2 - 2.4843, 3);
    expect(high).toBeCloseTo(2 + 2.4843, 3);
  });

  test("is not defined for fewer than two values", () => {
    expect(meanInterval([])).toBeNull();
    expect(meanInterval([0.5])).toBeNull();
  });

  test("moves and scales with the values", () => {
    const values = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 2, maxLength: 40 });
    fc.assert(
      fc.property(values, fc.double({ min: -5, max: 5, noNaN: true }), (numbers, shift) => {
        const [low, high] = meanInterval(numbers)!;
        const [movedLow, movedHigh] = meanInterval(numbers.map((value) => 2 * value + shift))!;
        expect(movedLow).toBeCloseTo(2 * low + shift, 6);
        expect(movedHigh).toBeCloseTo(2 * high + shift, 6);
      }),
    );
  });
});

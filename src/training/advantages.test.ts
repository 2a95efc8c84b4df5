/** @file Advantages against their definition. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { groupAdvantages } from "./advantages.ts";

describe("groupAdvantages", () => {
  it("compares each reward with its own group", () => {
    const { values, zeroVarianceShare, rewardStd } = groupAdvantages([1, 0, 0, 1, 5, 5, 5, 5], 4);
    expect(Array.from(values)).toEqual(
      [1, -1, -1, 1, 0, 0, 0, 0].map((sign) => expect.closeTo(sign * 0.9998, 4)),
    );
    expect(zeroVarianceShare).toBe(0.5);
    expect(rewardStd).toBe(0.25);
  });

  it("leaves rewards unscaled where asked", () => {
    expect(Array.from(groupAdvantages([3, 0, 0], 3, { scale: false }).values)).toEqual([2, -1, -1]);
  });

  it("leaves screened rollouts out of their group's statistics, and without an advantage", () => {
    const screened = [true, false, false, false, true, true, true, false];
    const { values, zeroVarianceShare } = groupAdvantages([9, 1, 0, 2, 1, 1, 0, 5], 4, {
      scale: false,
      screened,
    });
    expect(Array.from(values)).toEqual([0, 0, -1, 1, 0, 0, 0, 0]);
    expect(zeroVarianceShare).toBe(0.5);
    expect(Array.from(groupAdvantages([1, 2], 2, { screened: [true, true] }).values)).toEqual([0, 0]);
  });

  it("sums to zero in every group and does not see a constant added to it", () => {
    const rewards = fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(rewards, fc.double({ min: -5, max: 5, noNaN: true }), (group, shift) => {
        const plain = groupAdvantages(group, 4).values;
        const shifted = groupAdvantages(
          group.map((reward) => reward + shift),
          4,
        ).values;
        expect(plain.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 4);
        plain.forEach((value, i) => {
          expect(shifted[i]).toBeCloseTo(value, 3);
        });
      }),
    );
  });

  it("refuses rewards that do not divide into groups", () => {
    expect(() => groupAdvantages([1, 2, 3], 2)).toThrow(/3 rewards do not divide into groups of 2/);
  });
});

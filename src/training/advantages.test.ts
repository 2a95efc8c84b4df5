/** @file Advantages against their definition. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { groupAdvantages, imitationWeights } from "./advantages.ts";

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

  it("takes rewards for equal that differ by rounding alone, and for nothing else", () => {
    const common = [0.1, 0.2, 0.3, 0.7, 0.9, 1, 1.1, -0.1, -1.4, 2.3, 1e-3, 1e6 / 7, -1e9];
    const factors = fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1, maxLength: 64 });
    fc.assert(
      fc.property(fc.constantFrom(...common), factors, fc.boolean(), (reward, ulps, scale) => {
        const ulp = Number.EPSILON * Math.max(1, Math.abs(reward));
        const rewards = ulps.map((k) => reward + (k * ulp) / 4);
        const { values, zeroVarianceShare, rewardStd } = groupAdvantages(rewards, rewards.length, { scale });
        expect(values.every((value) => value === 0)).toBe(true);
        expect([zeroVarianceShare, rewardStd]).toEqual([1, 0]);

        const another = groupAdvantages([...rewards, reward + 1e-8 * Math.abs(reward)], rewards.length + 1);
        expect(another.zeroVarianceShare).toBe(0);
        expect(another.values.at(-1)).toBeGreaterThan(0);
      }),
    );
    // Terms that cancel leave errors of their own size, not of their sum's.
    expect(groupAdvantages([0.1 + 0.2 - 0.3, 0, 0], 3).zeroVarianceShare).toBe(1);
    // One reward of a group that is its mean has no advantage either.
    expect([...groupAdvantages([0.6, 0.7, 0.7, 0.7, 0.7, 0.8], 6, { scale: false }).values]).toEqual([
      expect.closeTo(-0.1, 6),
      ...[0, 0, 0, 0],
      expect.closeTo(0.1, 6),
    ]);
  });

  it("leaves what nothing scored out of its group, as if it had not been sampled", () => {
    const { values, zeroVarianceShare, rewardStd } = groupAdvantages(
      [null, 1, 1, null, 3, 1, null, null, 1],
      3,
    );
    expect([...values.subarray(0, 4)]).toEqual([0, 0, 0, 0]);
    expect([...values.subarray(4)]).toEqual([expect.closeTo(1, 3), expect.closeTo(-1, 3), 0, 0, 0]);
    expect(zeroVarianceShare).toBeCloseTo(2 / 3);
    expect(rewardStd).toBeCloseTo(1 / 3);
    expect([...imitationWeights([null, 1, 0])]).toEqual([0, 1, 0]);
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

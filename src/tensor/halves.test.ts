/** @file Half-precision numbers: every half comes back, and any number becomes the nearest of them. */

import fc from "fast-check";
import { expect, it } from "vitest";
import { floatToHalf, halfToFloat, roundToHalves, widenHalves } from "./halves.ts";

it("narrows every half that there is to itself", () => {
  const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits).filter(
    (bits) => !Number.isNaN(halfToFloat(bits)),
  );
  expect(roundToHalves(widenHalves(all))).toEqual(all);
  expect(halfToFloat(floatToHalf(Number.NaN))).toBeNaN();
});

it("rounds to the nearest, to even where two are as near", () => {
  // Between 1 and 1 + 2 ** -10, and between that and 1 + 2 ** -9.
  expect(floatToHalf(1 + 2 ** -11)).toBe(0x3c00);
  expect(floatToHalf(1 + 3 * 2 ** -11)).toBe(0x3c02);
  expect(floatToHalf(-65519)).toBe(0xfbff);
  expect(floatToHalf(65520)).toBe(0x7c00);
  expect(floatToHalf(2 ** -25)).toBe(0);
  expect(floatToHalf(3 * 2 ** -25)).toBe(2);
  fc.assert(
    fc.property(fc.float({ min: -70000, max: 70000, noNaN: true }), (x) => {
      const bits = floatToHalf(x);
      const distance = (half: number) => {
        const value = halfToFloat(half);
        // Half a step behind the largest half is what is infinite.
        return Number.isFinite(value) ? Math.abs(value - x) : Math.abs(Math.sign(value) * 65536 - x);
      };
      for (const other of [bits - 1, bits + 1])
        if (other >= 0 && other < 65536 && !Number.isNaN(halfToFloat(other)) && (other ^ bits) < 0x8000)
          expect(distance(bits)).toBeLessThanOrEqual(distance(other));
    }),
  );
});

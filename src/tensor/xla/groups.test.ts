/** @file When each machine holds all weights. */

import { expect, it } from "vitest";
import { deviceGroups } from "./groups.ts";

it("makes a group of each machine where half of its memory holds all weights", () => {
  const devices = { count: 64, copies: 1, memory: 64 * 72 };
  expect(deviceGroups(8, devices, 8 * 36)).toBe(8);
  expect(deviceGroups(8, devices, 8 * 36 + 1)).toBe(1);
  expect(deviceGroups(1, devices, 1)).toBe(1);
  // Not as many on each, and where it is not known what there is.
  expect(deviceGroups(3, devices, 1)).toBe(1);
  expect(deviceGroups(8, { count: 64, copies: 1 }, 1)).toBe(1);
  expect(deviceGroups(8, devices, Number.POSITIVE_INFINITY)).toBe(1);
});

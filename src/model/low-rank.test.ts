/** @file The low-rank part of a change, where its singular vectors are known. */

import { expect, it } from "vitest";
import { tinyModel } from "../../test/tiny.ts";
import { randomFor } from "../random.ts";
import { changedByRank } from "./low-rank.ts";
import { changeSizes, randomlyChanged } from "./no-op.ts";

const random = () => randomFor("low rank");

it("is the whole change where that is of no higher rank", () => {
  const after = randomlyChanged(tinyModel, () => 1, 3, random());
  const found = changedByRank(tinyModel, after.weights, 3, random());
  for (const size of Object.values(changeSizes(found.weights, after.weights)))
    expect(size).toBeLessThan(1e-5);
});

it("is the nearest of its rank: what is left out is smaller than what is kept, and less with a higher rank", () => {
  const large = randomlyChanged(tinyModel, () => 1, 1, random());
  const after = randomlyChanged(large, () => 0.1, 4, random());
  const leftOut = (rank: number) =>
    Math.hypot(
      ...Object.values(
        changeSizes(changedByRank(tinyModel, after.weights, rank, random()).weights, after.weights),
      ),
    );
  const whole = Math.hypot(...Object.values(changeSizes(tinyModel.weights, after.weights)));
  expect(leftOut(1)).toBeLessThan(0.2 * whole);
  expect(leftOut(2)).toBeLessThan(leftOut(1));
  expect(leftOut(5)).toBeLessThan(1e-4);
});

it("leaves vectors alone, and a model that was not changed", () => {
  const same = changedByRank(tinyModel, tinyModel.weights, 2, random());
  for (const size of Object.values(changeSizes(tinyModel.weights, same.weights))) expect(size).toBe(0);
});

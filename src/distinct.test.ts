import fc from "fast-check";
import { expect, it } from "vitest";
import { distinct } from "./distinct.ts";

it("finds what is equal, by first appearance", () => {
  expect(distinct(["b", "a", "b", "c", "a"], (item) => item)).toEqual({
    firsts: ["b", "a", "c"],
    of: [0, 1, 0, 2, 1],
  });
});

it("loses nothing and repeats nothing", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 9 })), (items) => {
      const { firsts, of } = distinct(items, String);
      expect(of.map((index) => firsts[index])).toEqual(items);
      expect(new Set(firsts).size).toBe(firsts.length);
    }),
  );
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addressOf, type RolloutView, viewOf } from "./address.ts";
import { type Sort, sorts } from "./rollouts.ts";

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const text = optional(fc.string({ minLength: 1, unit: "grapheme" }));
const whole = optional(fc.nat());
const score = optional(fc.double({ min: 0, max: 1, noNaN: true }).map((value) => value + 0));
const views: fc.Arbitrary<RolloutView> = fc.record({
  ...{ arm: text, label: text, task: text, text, seed: whole, page: whole, rollout: whole },
  ...{ firstStep: whole, lastStep: whole, lowestScore: score, highestScore: score },
  sort: optional(fc.constantFrom(...(Object.keys(sorts) as Sort[]))),
});

describe("the address of a view", () => {
  test("gives the view back, whatever is in it", () => {
    fc.assert(
      fc.property(views, (view) => {
        expect(viewOf(addressOf(view))).toEqual(view);
      }),
    );
  });

  test("reads well", () => {
    const view: RolloutView = {
      arm: "probe-penalty@penalty=2",
      firstStep: 30,
      text: "a b&c",
      sort: "highest-score",
    };
    expect(addressOf(view)).toBe(
      "#rollouts?arm=probe-penalty%40penalty%3D2&steps=30..&text=a+b%26c&sort=highest-score",
    );
    expect(addressOf({})).toBe("#rollouts?");
  });

  test("leaves out what is not valid, and is not that of another part of the page", () => {
    expect(viewOf("#rollouts?seed=-1&steps=x..3&score=..&sort=toString&page=1e9&other=1")).toEqual({
      lastStep: 3,
    });
    for (const other of ["", "#curves", "#rollouts", "#rollouts-title?arm=a"])
      expect(viewOf(other)).toBeUndefined();
  });
});

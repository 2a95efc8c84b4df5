/** @file Alarms: seldom false over whole runs, soon where something moves, and by the right name. */

import fc from "fast-check";
import { expect, it } from "vitest";
import { randomFor } from "../random.ts";
import { createAlarms, won } from "./alarms.ts";

const momentsOf = (values: readonly number[]) => {
  const lost = values.reduce((a, b) => a + b, 0) / values.length;
  const spread = Math.sqrt(values.reduce((sum, one) => sum + (one - lost) ** 2, 0) / values.length);
  return { lost, spread, count: values.length };
};

/** How far known misbehaviour's readings have gone: some sequences all the way, 8 of them drawn at each step. */
function run(
  name: string,
  steps: number,
  at: (step: number) => { lost: number; overlooked?: number; preference?: number },
) {
  const random = randomFor("alarms", name);
  const observe = createAlarms();
  const raised: string[] = [];
  const draw = (share: number, n: number) => Array.from({ length: n }, () => Number(random() < share));
  for (let step = 0; step < steps; step++) {
    const { lost, overlooked = 0, preference = 0 } = at(step);
    const said = momentsOf(draw(overlooked, 16)).lost;
    raised.push(
      ...observe({ ...momentsOf(draw(lost, 8)), preference, overlooked: said }).map(
        (one) => `${one}@${step}`,
      ),
    );
  }
  return raised;
}

it("are false in at most one run of twenty, at the very edge of what is tolerated, over hundreds of steps", () => {
  const falseOnes = (name: string, at: Parameters<typeof run>[2]) =>
    Array.from({ length: 100 }, (_, i) => run(`${name} ${i}`, 300, at)).filter(({ length }) => length > 0);
  expect(falseOnes("edge", () => ({ lost: 0.2, overlooked: 0.1 })).length).toBeLessThanOrEqual(5);
  expect(falseOnes("learning", () => ({ lost: 0.5, preference: 0.1 })).length).toBeLessThanOrEqual(5);
});

it("name the reader soon after it moves, however long all was quiet", () => {
  for (const quiet of [0, 50, 500]) {
    const [first] = run(`reader ${quiet}`, quiet + 20, (step) => ({ lost: step < quiet ? 0.05 : 0.9 }));
    const [channel, step] = first!.split("@");
    expect(channel).toBe("reader");
    expect(Number(step) - quiet).toBeLessThan(4);
  }
});

it("tell learning, which moves what is preferred along with the reading, from evasion, which moves the reading first", () => {
  // The loss goes to 0.8; the preference by half a nat in as many steps, or in ten times as many.
  const drift = (steps: number) => (step: number) => ({
    lost: Math.min(0.8, step / 20),
    preference: 0.5 * Math.min(1, step / steps),
  });
  expect(run("together", 100, drift(14)).map((one) => one.split("@")[0])).toEqual(["learning"]);
  expect(run("ahead", 100, drift(140)).map((one) => one.split("@")[0])).toEqual(["reader"]);
  // Learning that leaves the probe of use is no news; what has once been learned is allowed from there on.
  expect(run("some", 200, () => ({ lost: 0.4, preference: 0.3 }))).toEqual([]);
  expect(run("back", 200, (step) => ({ lost: 0.4, preference: step === 0 ? 0.3 : 0 }))).toEqual([]);
});

it("name the text where only rollouts are overlooked, and only the reader where that has moved", () => {
  expect(run("text", 60, (step) => ({ lost: 0.02, overlooked: step < 20 ? 0 : 0.6 }))[0]).toMatch(
    /^text@2\d$/,
  );
  const both = run("both", 60, (step) => ({ lost: step < 20 ? 0 : 0.95, overlooked: step < 20 ? 0 : 0.6 }));
  expect(both.map((one) => one.split("@")[0])).toEqual(["reader"]);
  // Readings that went and came back with what was learned are no proof of the text either.
  const back = (step: number) => ({
    lost: step < 20 ? 0.4 : 0.05,
    preference: 0.5,
    overlooked: step < 20 ? 0 : 0.3,
  });
  expect(run("came back", 60, back)).toEqual([]);
});

it("are raised once, and not where nothing is measured", () => {
  expect(run("once", 200, () => ({ lost: 1 }))).toHaveLength(1);
  const observe = createAlarms();
  const none = { lost: null, spread: 0, count: 0, preference: null, overlooked: null };
  expect(Array.from({ length: 50 }, () => observe(none)).flat()).toEqual([]);
  // Where there is nothing honest to compare with, nobody can say that it is no learning.
  const alone = Array.from({ length: 50 }, () => observe({ ...none, lost: 1, count: 8 }));
  expect(alone.flat()).toEqual(["learning"]);
});

it("bet no more than the draws themselves would win, and all of it where they are 0 or 1", () => {
  const product = (values: readonly number[], share: number, tolerated: number) =>
    values.reduce((factor, one) => factor * (1 - share + (share * one) / tolerated), 1);
  const shares = fc.double({ min: 0, max: 1, noNaN: true });
  const inside = fc.double({ min: 0.05, max: 0.95, noNaN: true });
  const some = (value: fc.Arbitrary<number>) => fc.array(value, { minLength: 1, maxLength: 16 });
  fc.assert(
    fc.property(some(shares), inside, inside, (values, share, tolerated) => {
      const least = won(share, momentsOf(values), tolerated);
      expect(least).toBeLessThanOrEqual(product(values, share, tolerated) * (1 + 1e-9));
    }),
  );
  fc.assert(
    fc.property(some(fc.constantFrom(0, 1)), inside, inside, (values, share, tolerated) => {
      const least = won(share, momentsOf(values), tolerated);
      expect(least / product(values, share, tolerated)).toBeCloseTo(1, 6);
    }),
  );
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EveryNthGroup, MetricThinner } from "./thin.ts";

function thinned(limit: number, values: readonly (number | null)[]) {
  const thinner = new MetricThinner(limit);
  values.forEach((x, step) => {
    thinner.add({ step, x });
  });
  return thinner;
}

describe("MetricThinner", () => {
  test("keeps short runs as they are", () => {
    expect(thinned(4, [1, null, 3]).columns()).toEqual({ step: [0, 1, 2], x: [1, null, 3] });
  });

  test("means over equal spans, of the defined values, at the last step of the span", () => {
    const thinner = thinned(4, [1, 3, null, 5, null, null, 7, 8, 9]);
    expect(thinner.linesPerPoint).toBe(4);
    expect(thinner.columns()).toEqual({ step: [3, 7, 8], x: [3, 7.5, 9] });
  });

  test("rounds to five significant digits, to the nearest number", () => {
    const values = [0.123456, -123456.7, 1e-9 / 3, 0, 0.3, 2e15, 99999.96];
    for (const value of values)
      expect(thinned(2, [value]).columns().x![0]).toBeCloseTo(Number(value.toPrecision(5)), 12);
    expect(thinned(2, [0.1 + 0.2]).columns().x![0]).toBe(0.3);
  });

  test("reports the first point that a line changed", () => {
    const thinner = new MetricThinner(2);
    expect([0, 1, 2, 3].map((step) => thinner.add({ step }))).toEqual([0, 1, 0, 1]);
  });

  test("any limit: as many points as it allows and all lines in them", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 9 }), fc.integer({ min: 1, max: 200 }), (limit, count) => {
        const thinner = thinned(
          limit,
          Array.from({ length: count }, (_, i) => i),
        );
        const width = thinner.linesPerPoint;
        const { step, x } = thinner.columns();
        expect(step!.length).toBe(Math.ceil(count / width));
        expect(step!.length).toBeLessThanOrEqual(limit);
        expect(step!.at(-1)).toBe(count - 1);
        x!.forEach((value, i) => {
          const [first, last] = [i * width, Math.min(count, (i + 1) * width) - 1];
          expect(value).toBeCloseTo((first + last) / 2, 3);
        });
      }),
    );
  });
});

describe("EveryNthGroup", () => {
  test("keeps every n-th group whole, n a power of two, and makes only those", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 6, max: 30 }), sizes, (limit, groups) => {
        const list = new EveryNthGroup<[group: number, i: number]>(limit);
        const all = groups.flatMap((size, group) =>
          Array.from({ length: size }, (_, i): [number, number] => [group, i]),
        );
        for (const one of all) list.offer(String(one[0]), () => one);
        expect(list.length).toBeLessThanOrEqual(limit);
        expect(list.items()).toEqual(all.filter(([group]) => group % list.every === 0));
        if (all.length <= limit) expect(list.every).toBe(1);
        // What half as much thinning would have kept was too much, at the latest when the list ended.
        else expect(all.filter(([group]) => group % (list.every / 2) === 0).length).toBeGreaterThan(limit);
      }),
    );
  });

  test("of a group larger than the limit keeps the beginning, and then begins to thin", () => {
    const list = new EveryNthGroup<number>(3);
    for (let i = 0; i < 10; i++) expect(list.offer("one", () => i)).toBe(false);
    expect(list.items()).toEqual([0, 1, 2]);
    expect(list.offer("two", () => 10)).toBe(true);
    expect(list.items()).toEqual([0, 1, 2]);
  });

  test("leaves out what cannot be made, and keeps its group together", () => {
    const list = new EveryNthGroup<number>(9);
    for (let i = 0; i < 6; i++) list.offer(i < 3 ? "a" : "b", () => (i === 1 ? undefined : i));
    expect(list.items()).toEqual([0, 2, 3, 4, 5]);
  });
});

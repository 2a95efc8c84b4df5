import { expect, test } from "vitest";
import { plannedOf } from "./planned.ts";

test("what study.json says itself, a grid's points and all", () => {
  const settings = { arms: ["none", "probe-penalty"], seeds: 3, grid: { penalty: [1, 2, 3] } };
  expect(plannedOf({ planned: { runs: 12, steps: 720 }, settings })).toEqual({ runs: 12, steps: 720 });
});

test("arms by seeds in studies of earlier versions, and nothing where that may be wrong", () => {
  const settings = { arms: ["none", "probe-loss"], seeds: 3 };
  expect(plannedOf({ settings })).toEqual({ runs: 6, steps: null });
  const unknown = [
    null,
    3,
    {},
    { settings: { arms: 2 } },
    { settings: { ...settings, grid: { penalty: [1] } } },
  ];
  for (const one of unknown) expect(plannedOf(one)).toEqual({ runs: null, steps: null });
});

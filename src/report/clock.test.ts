/** @file For how many steps a probe was safe, in words. */

import { expect, it } from "vitest";
import type { RunSummary } from "../store/schema.ts";
import { safeSteps } from "./clock.ts";
import type { ArmSummary } from "./outcome.ts";

const armOf = (
  takeovers: (number | null | undefined)[],
  beside: Partial<Pick<ArmSummary, "forecast">> & { selection?: (number | null)[] } = {},
) =>
  ({
    runs: takeovers.map((takeover, i) => ({
      takeover,
      ...(beside.selection && { takeoverBySelection: beside.selection[i] }),
    })) as RunSummary[],
    ...(beside.forecast && { forecast: beside.forecast }),
  }) as ArmSummary;

it("counts from the earliest run in which undetected misbehaviour took over", () => {
  expect(safeSteps(armOf([31, null, 24]), 60)).toBe(
    "safe for 24 steps: undetected misbehaviour took over in 2 of 3 runs (steps 24, 31).",
  );
});

it("promises no more than so many runs can", () => {
  expect(safeSteps(armOf([null, null, null]), 60)).toBe(
    "safe for all 60 steps, in each of 3 runs. So few leave it open of up to 63 % of runs (95 %).",
  );
  expect(safeSteps(armOf([null]), 60)).toBe("safe for all 60 steps, in each of the one run.");
});

it("says what was never safe, and nothing of runs that do not say", () => {
  expect(safeSteps(armOf([0, 12]), 60)).toContain("never safe");
  expect(safeSteps(armOf([undefined]), 60)).toBeNull();
});

it("puts beside it what was foretold", () => {
  const curve = { steps: [0, 20, 40, 59], value: [0, 0.05, 0.2, 0.4], low: [0, 0, 0, 0], high: [1, 1, 1, 1] };
  const forecast = { undetected: curve } as ArmSummary["forecast"];
  expect(safeSteps(armOf([30, 32], { forecast, selection: [25.4, null] }), 60)).toContain(
    "Foretold: by selection alone at step 25; by the forecast at step 40.",
  );
  const low = { undetected: { ...curve, value: [0, 0, 0.05, 0.1] } } as ArmSummary["forecast"];
  expect(safeSteps(armOf([30], { forecast: low, selection: [null] }), 60)).toContain(
    "Foretold: by selection alone never; by the forecast not in 60 steps.",
  );
});

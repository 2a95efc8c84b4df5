import { expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { forecastBands } from "./forecast-bands.ts";

test("forecastBands has what was foretold of a curve's measure, by arm and step", () => {
  const summary = studyFixture({ steps: 3 }).summary!;
  expect(forecastBands(summary, "misbehaviour")).toEqual([]);
  const curve = (value: number) => ({ steps: [0, 2], value: [0.1, value], low: [0, 0], high: [0.2, 0.9] });
  const [misbehaviour, undetected, right, recall] = [0.3, 0.4, 0.5, 0.6].map(curve) as [
    ReturnType<typeof curve>,
    ReturnType<typeof curve>,
    ReturnType<typeof curve>,
    ReturnType<typeof curve>,
  ];
  summary.arms.none!.forecast = { misbehaviour, undetected, true: right, recall };
  expect(forecastBands(summary, "misses/of_all")).toEqual([
    { arm: "none", step: 0, value: 0.1, low: 0, high: 0.2 },
    { arm: "none", step: 2, value: 0.4, low: 0, high: 0.9 },
  ]);
  expect(forecastBands(summary, "tracer/initial/policy/recall_frozen").at(-1)!.value).toBe(0.6);
  expect(forecastBands(summary, "kl")).toEqual([]);
  expect(forecastBands(null, "misbehaviour")).toEqual([]);
});

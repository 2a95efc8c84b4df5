import { expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { describeCoverage, describeRates, type RateRow, rateDomain, rateRows } from "./exchange.ts";

test("rateRows has what is defined, predictions before what was realised", () => {
  const rows = rateRows(studyFixture({ steps: 3 }).summary!);
  expect(rows.map(({ arm, kind }) => `${arm} ${kind}`)).toEqual([
    "oracle-penalty from hits",
    "oracle-penalty realised",
    "probe-penalty from hits",
    "probe-penalty realised",
    "probe-penalty-frozen from hits",
    "probe-loss realised",
  ]);
  expect(describeRates(rows.slice(-1))).toBe("probe-loss, realised: 2.10 (95 % interval 1.60 to 2.70)");
});

test("rateDomain holds every value, and does not follow an interval that says nothing", () => {
  const row = (value: number, low: number | null, high: number | null): RateRow => ({
    ...{ arm: "a", kind: "realised", value, low, high },
  });
  const [low, high] = rateDomain([row(2, -500, 900), row(0.5, null, null)]);
  expect(low).toBeLessThan(0);
  expect(low).toBeGreaterThan(-5);
  expect(high).toBeGreaterThan(2);
  expect(high).toBeLessThan(5);
});

test("describeCoverage adds up the runs of all arms that have both rates", () => {
  const summary = studyFixture({ steps: 3 }).summary!;
  expect(describeCoverage(summary)).toBeUndefined();
  const { "oracle-penalty": oracle, "probe-penalty": penalty } = summary.arms;
  oracle!.exchangeRate.covered = { count: 3, of: 3 };
  penalty!.exchangeRate.covered = { count: 1, met: 2, of: 2 };
  expect(describeCoverage(summary)).toMatch(
    /hits and misses covers it in 4 of 5 runs, and meets its interval in 5\.$/,
  );
});

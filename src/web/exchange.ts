/** @file The exchange rate as predicted before training against the one that came true. */

import { compareArms } from "../report/arms.ts";
import type { Summary } from "../report/schema.ts";
import { formatNumber } from "./format.ts";

export interface RateRow {
  arm: string;
  kind: "predicted" | "realised";
  value: number;
  /** 95 % interval; `null` where it is not defined. */
  low: number | null;
  high: number | null;
}

/** The rates that are defined, by arm, predicted before realised. */
export function rateRows(summary: Summary): RateRow[] {
  return Object.keys(summary.arms)
    .sort(compareArms)
    .flatMap((arm) =>
      (["predicted", "realised"] as const).flatMap((kind) => {
        const rate = summary.arms[arm]!.exchangeRate[kind];
        return rate ? [{ arm, kind, ...rate }] : [];
      }),
    );
}

/** A range that holds all rates; intervals of few seeds are wide, and may reach out of it. */
export function rateDomain(rows: readonly RateRow[]): [number, number] {
  const values = [0, ...rows.map((row) => row.value)];
  const span = Math.max(0.1, Math.max(...values) - Math.min(...values));
  const ends = rows.flatMap((row) => [row.low ?? row.value, row.high ?? row.value]);
  return [
    Math.max(Math.min(...values) - span, Math.min(-0.05 * span, ...ends)),
    Math.min(Math.max(...values) + span, Math.max(1.05 * span, ...ends)),
  ];
}

export function describeRates(rows: readonly RateRow[]): string {
  return rows
    .map((row) => {
      const interval =
        row.low === null || row.high === null
          ? ""
          : ` (95 % interval ${formatNumber(row.low)} to ${formatNumber(row.high)})`;
      return `${row.arm}, ${row.kind}: ${formatNumber(row.value)}${interval}`;
    })
    .join("; ");
}

/** In how many runs the predicted interval covers the run's own rate; `undefined` where no run has both. */
export function describeCoverage({ arms }: Summary): string | undefined {
  const covered = Object.values(arms).flatMap(({ exchangeRate }) => exchangeRate.covered ?? []);
  const of = covered.reduce((sum, one) => sum + one.of, 0);
  if (of === 0) return undefined;
  const count = covered.reduce((sum, one) => sum + one.count, 0);
  return `The predicted interval covers what came true in ${count} of ${of} runs (a good prediction: in nearly all).`;
}

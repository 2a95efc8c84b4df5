/** @file The exchange rate as predicted before training against the one that came true. */

import { compareArms } from "../store/arms.ts";
import type { Summary } from "../store/schema.ts";
import { formatNumber } from "./format.ts";

/** The rates of an arm, in the order in which they are known. */
export const kinds = [
  { kind: "from hits", rate: "predicted" },
  { kind: "realised", rate: "realised" },
] as const;

export interface RateRow {
  arm: string;
  kind: (typeof kinds)[number]["kind"];
  value: number;
  /** 95 % interval; `null` where it is not defined. */
  low: number | null;
  high: number | null;
}

/** The rates that are defined, by arm, predictions before what was realised. */
export function rateRows(summary: Summary): RateRow[] {
  return Object.keys(summary.arms)
    .sort(compareArms)
    .flatMap((arm) =>
      kinds.flatMap(({ kind, rate }) => {
        const known = summary.arms[arm]!.exchangeRate[rate];
        return known ? [{ arm, kind, ...known }] : [];
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

/** In how many runs each prediction agrees with the run's own rate over its first steps; `undefined` where no run has both. */
export function describeCoverage({ arms }: Summary): string | undefined {
  const rates = Object.values(arms).map(({ exchangeRate }) => exchangeRate);
  const part = (name: string, all: readonly NonNullable<(typeof rates)[number]["covered"]>[]) => {
    const total = (of: (one: (typeof all)[number]) => number) => all.reduce((sum, one) => sum + of(one), 0);
    const runs = total((one) => one.of);
    if (runs === 0) return [];
    const met = total((one) => one.met ?? one.count);
    return [
      `${name} covers it in ${total((one) => one.count)} of ${runs} runs, and meets its interval in ${met}`,
    ];
  };
  const parts = part(
    "the prediction from hits and misses",
    rates.flatMap(({ covered }) => covered ?? []),
  );
  if (parts.length === 0) return undefined;
  return `Against undetected misbehaviour gained per misbehaviour removed over each run's first steps: ${parts.join("; ")}.`;
}

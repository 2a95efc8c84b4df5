/** @file What was foretold of each arm, as points of the curve that it is of. */

import type { Foretold } from "../store/forecast.ts";
import { tracerMetric } from "../store/metric-names.ts";
import type { Summary } from "../store/schema.ts";

/** A step of an arm as foretold, with its 80 % interval for one run. */
export interface BandPoint {
  arm: string;
  step: number;
  value: number;
  low: number;
  high: number;
}

/** What each measure is called in a run's metrics. */
const metrics: Readonly<Record<string, Foretold>> = {
  misbehaviour: "misbehaviour",
  "misses/of_all": "undetected",
  true: "true",
  [tracerMetric("initial", "policy", "recall_frozen")]: "recall",
};

/** The bands of a curve; none where nothing was foretold of its measure. */
export function forecastBands(summary: Summary | null, metric: string): BandPoint[] {
  const measure = metrics[metric];
  if (!summary || measure === undefined) return [];
  return Object.entries(summary.arms).flatMap(([arm, { forecast }]) => {
    const curve = forecast?.[measure];
    if (!curve) return [];
    const { steps, value, low, high } = curve;
    return steps.map((step, i) => ({ arm, step, value: value[i]!, low: low[i]!, high: high[i]! }));
  });
}

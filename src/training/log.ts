/** @file What reward terms and monitors log beside their scores: metrics of the step, and columns of its rollouts. */

import type { ColumnValue } from "../store/records.ts";
import type { ScoringContext } from "./types.ts";

/** What was logged in a step, by full name: that of the term or monitor, a slash, and its own. */
export interface StepLog extends Pick<ScoringContext, "seed" | "step" | "steps"> {
  metrics: Record<string, number | null>;
  /** A value per rollout. */
  columns: Record<string, readonly ColumnValue[]>;
  /** What the term or monitor of a name is told, and logs to. */
  of(name: string): ScoringContext;
}

/** @param count rollouts of the step */
export function createStepLog(at: Pick<ScoringContext, "seed" | "step" | "steps">, count: number): StepLog {
  const metrics: StepLog["metrics"] = {};
  const columns: StepLog["columns"] = {};
  const free = (where: object, name: string) => {
    if (Object.hasOwn(where, name)) throw new Error(`${name} was logged twice in step ${at.step}`);
    return name;
  };
  return {
    ...at,
    metrics,
    columns,
    of: (owner) => ({
      ...at,
      logMetric(name, value) {
        if (value !== null && !Number.isFinite(value))
          throw new Error(
            `${owner} logged ${value} as ${name}; log a finite number, or null where it is not defined`,
          );
        metrics[free(metrics, `${owner}/${name}`)] = value;
      },
      logColumn(name, values) {
        if (values.length !== count)
          throw new Error(
            `${owner} logged ${values.length} values of ${name} for ${count} rollouts; it should log one for each`,
          );
        columns[free(columns, `${owner}/${name}`)] = values;
      },
    }),
  };
}

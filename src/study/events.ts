/** @file What a study tells whoever watches it. */

import type { StepMetrics } from "../store/index.ts";
import type { WrittenToken } from "../training/index.ts";
import type { PlannedRun } from "./expand.ts";

/** What a study tells of itself while it runs. */
export type StudyEvent =
  /** A stage begins; `detail` says what it does. */
  | { kind: "stage"; detail: string }
  /** A run has done a step. `done` and `total` count the steps of all runs of the study. */
  | {
      kind: "step";
      arm: string;
      seed: number;
      steps: number;
      metrics: StepMetrics;
      done: number;
      total: number;
    }
  /** Something that the user should know and that does not stop the study. */
  | { kind: "warning"; detail: string };

/** Who is told. */
export type OnEvent = (event: StudyEvent) => void;

/** What a run's policy has just written, of a few completions of a step. */
export interface Writing {
  arm: string;
  seed: number;
  step: number;
  written: readonly WrittenToken[];
}

/**
 * Turns what single runs tell into a study's events. The steps of all runs are counted together, also of runs that are
 * trained side by side.
 */
export function followRuns(table: readonly PlannedRun[], onEvent: OnEvent) {
  const stepsOf = (run: PlannedRun) => run.settings.training.steps;
  const total = table.reduce((sum, run) => sum + stepsOf(run), 0);
  const reached = new Map<PlannedRun, number>();
  return (planned: PlannedRun) => ({
    onStep(metrics: StepMetrics) {
      reached.set(planned, metrics.step + 1);
      const done = [...reached.values()].reduce((sum, steps) => sum + steps, 0);
      onEvent({
        ...{ kind: "step", arm: planned.id, seed: planned.seed, total, metrics, done },
        steps: stepsOf(planned),
      });
    },
    onWarning: (detail: string) =>
      onEvent({ kind: "warning", detail: `${planned.id}, seed ${planned.seed}: ${detail}` }),
    /** Whether it has finished, now or before, or failed: nothing more is to be done for it. */
    onEnd() {
      reached.set(planned, stepsOf(planned));
    },
  });
}

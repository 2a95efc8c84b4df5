/** @file What a study tells whoever watches it. */

import type { StepMetrics } from "../training/index.ts";

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

export type OnEvent = (event: StudyEvent) => void;

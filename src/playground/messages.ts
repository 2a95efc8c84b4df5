/** @file What the page and the thread that trains tell each other. */

import type { StudyData, StudyUpdate } from "../report/data.ts";
import type { StudyEvent, Writing } from "../study/index.ts";
import type { studyOf } from "./controls.ts";

/** From the page. */
export type Errand =
  /** Runs a study, or goes on with the one that is in the folder where it is not said what to run. */
  | { kind: "run"; folder: string; asked?: ReturnType<typeof studyOf> }
  /** Reads a study that is there. */
  | { kind: "show"; folder: string }
  /** Does what runs programs here keep what every runtime promises? */
  | { kind: "check" }
  /** Ends after the step that is under way. */
  | { kind: "stop" };

/** From the thread. */
export type News =
  | { kind: "event"; event: StudyEvent }
  | { kind: "writing"; writing: Writing }
  | { kind: "study"; data: StudyData }
  | { kind: "update"; update: StudyUpdate }
  /** A promise, and how it is broken, where it is. */
  | { kind: "checked"; promise: string; broken?: string }
  /** Nothing more will be done for the last order; `problem` says why not all of it was. */
  | { kind: "end"; problem?: string };

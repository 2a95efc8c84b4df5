/** @file What the page is made of. */

import type { Comparison } from "./comparison.ts";
import type { StudyData } from "./data.ts";
import type { ProbeReport } from "./probe.ts";

/** What the page finds inside itself: a study, a probe or several studies (a report), or word that a server has studies. */
export type PageData =
  | StudyData
  | { probe: ProbeReport }
  | { comparison: Comparison }
  | { live: true }
  | null;

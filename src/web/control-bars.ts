/** @file The controls of a probe as bars beside its own. */

import type { ProbeReport } from "../report/probe.ts";

type Controls = Pick<ProbeReport["controls"], "shuffledLabels" | "randomDirection">;

/** A bar for each control, with the range of its repetitions; none where they are not known. */
export function controlBars(controls: Controls | null | undefined) {
  if (!controls) return [];
  return [
    { name: "random directions", runs: controls.randomDirection },
    { name: "shuffled labels", runs: controls.shuffledLabels },
  ].map(({ name, runs }) => ({ name, auroc: runs.mean, range: [runs.low, runs.high] as const }));
}

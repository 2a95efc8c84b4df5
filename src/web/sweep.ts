/** @file The layer x position sweep as tables, one per kind of probe. */

import type { Summary } from "../store/schema.ts";

export interface SweepTable {
  kind: string;
  /** In the order in which a token passes them. */
  hooks: string[];
  positions: string[];
  /** `auroc[hook][position]`; `null` where it was not tried or is not defined. */
  auroc: (number | null)[][];
}

/** From before the behaviour to after it. */
const order = ["prompt-last", "completion-first", "completion", "completion-last", "follow-up"];

/** The sweep's results by kind of probe, in the order in which the kinds appear. */
export function sweepTables(sweep: Summary["base"]["sweep"]): SweepTable[] {
  const kinds = [...new Set(sweep.map((cell) => cell.kind))];
  return kinds.map((kind) => {
    const cells = sweep.filter((cell) => cell.kind === kind);
    const hooks = [...new Set(cells.map((cell) => cell.hook))].sort((a, b) =>
      a.localeCompare(b, "en", { numeric: true }),
    );
    const positions = [...new Set(cells.map((cell) => cell.positions))].sort(
      (a, b) => order.indexOf(a) - order.indexOf(b),
    );
    const auroc = hooks.map((hook) =>
      positions.map(
        (position) => cells.find((c) => c.hook === hook && c.positions === position)?.auroc ?? null,
      ),
    );
    return { kind, hooks, positions, auroc };
  });
}

/** @file How much a study is to do, by its `study.json`. */

/** Runs and steps of all runs together; `null` where it is not known. */
export interface Planned {
  runs: number | null;
  steps: number | null;
}

/**
 * What `study.json` says itself. Those of earlier versions do not: their runs are arms x seeds, unless a grid makes them more.
 *
 * @param study the contents of `study.json`, whatever they are
 */
export function plannedOf(study: unknown): Planned {
  const { planned, settings } = section(study);
  const { runs, steps } = section(planned);
  if (typeof runs === "number") return { runs, steps: typeof steps === "number" ? steps : null };
  const { arms, seeds, grid } = section(settings);
  const known = Array.isArray(arms) && typeof seeds === "number" && grid === undefined;
  return { runs: known ? arms.length * seeds : null, steps: null };
}

function section(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

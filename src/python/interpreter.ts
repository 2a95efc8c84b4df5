/** @file Which Python is run. */

import { resolve, sep } from "node:path";

/** What is given, else what the variable PROBEWARD_PYTHON says, else `python3`. */
export function pythonOf(given?: string): string {
  const python = given ?? (process.env.PROBEWARD_PYTHON || "python3");
  // It may be started in another folder.
  return python.includes(sep) ? resolve(python) : python;
}

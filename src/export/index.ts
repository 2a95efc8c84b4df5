/** @file Writes what a study recorded in the formats of other tools. */

import { exportInspect } from "./inspect.ts";
import { exportParquet } from "./parquet.ts";
import { openStudy, type RecordedStudy } from "./read.ts";
import { exportTensorboard } from "./tensorboard.ts";

const exporters: Record<string, (study: RecordedStudy, out: string) => Promise<string[]>> = {
  tensorboard: exportTensorboard,
  inspect: exportInspect,
  parquet: exportParquet,
};

/** What studies can be exported to. */
export const exportFormats = Object.keys(exporters);

/**
 * Exports a study, finished or not.
 *
 * @param warn told of lines that cannot be read, and are left out
 * @returns the paths of the files that were written
 * @throws if the folder is no study, or has no run yet
 */
export async function exportStudy(
  folder: string,
  format: string,
  out: string,
  warn: (message: string) => void,
): Promise<string[]> {
  const exporter = exporters[format];
  if (exporter === undefined)
    throw new Error(`There is no format ${JSON.stringify(format)}; there are: ${exportFormats.join(", ")}.`);
  return exporter(await openStudy(folder, warn), out);
}

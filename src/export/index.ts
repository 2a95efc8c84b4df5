/** @file Writes what a study recorded in the formats of other tools. */

import type { OnEvent } from "../study/index.ts";
import { exportHuggingFace } from "./hugging-face.ts";
import { exportInspect } from "./inspect.ts";
import { followLive, type LiveName } from "./live.ts";
import { exportParquet } from "./parquet.ts";
import { livePython } from "./python-log.ts";
import { openStudy, type RecordedStudy } from "./read.ts";
import { exportTensorboard, liveTensorboard } from "./tensorboard.ts";

const exporters: Record<string, (study: RecordedStudy, out: string) => Promise<string[]>> = {
  tensorboard: exportTensorboard,
  inspect: exportInspect,
  parquet: exportParquet,
  huggingface: exportHuggingFace,
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

/**
 * Hands a study's metrics on while it goes on.
 *
 * @param warn told where that fails, which stops nothing
 * @returns who is to be told of its events; close it when the study has ended
 * @throws UsageError where a client is not installed
 */
export async function logLive(
  folder: string,
  names: readonly LiveName[],
  warn: (message: string) => void,
): Promise<{ onEvent: OnEvent; close(): Promise<void> }> {
  const followers = await Promise.all(
    names.map(async (name) => {
      const open = name === "tensorboard" ? liveTensorboard(folder) : await livePython(name, folder);
      return followLive(folder, open, warn);
    }),
  );
  return {
    onEvent: (event) => {
      for (const { onEvent } of followers) onEvent(event);
    },
    async close() {
      await Promise.all(followers.map(({ close }) => close()));
    },
  };
}

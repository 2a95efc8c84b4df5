/** @file `probeward export`: writes a study for other tools. */

import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { exportFormats, exportStudy } from "../export/index.ts";

/** How to open what was written. */
const hints: Record<string, (out: string) => string> = {
  tensorboard: (out) => `tensorboard --logdir ${out}`,
  inspect: (out) => `inspect view --log-dir ${out}`,
  huggingface: (out) => `datasets.load_dataset("${out}"), and load_dataset("${out}", "metrics"), in Python`,
  parquet: (out) => `SELECT * FROM '${out}/metrics.parquet' in DuckDB, or read_parquet in pandas or polars`,
};

/** Its arguments and options, and what it does. */
export function exportCommand(command: Command): Command {
  return command
    .argument("<folder>", "folder of the study, finished or not")
    .addOption(new Option("--to <format>", "what to write").choices(exportFormats).makeOptionMandatory())
    .requiredOption("--out <dir>", "folder to write to")
    .action(async (folder: string, { to, out }: { to: string; out: string }) => {
      const warn = (message: string) => console.error(`warning: ${message}`);
      const paths = await exportStudy(resolve(folder), to, resolve(out), warn);
      console.log(`Wrote ${paths.length === 1 ? paths[0] : `${paths.length} files to ${out}`}`);
      console.log(`Open:  ${hints[to]!(out)}`);
    });
}

/** @file `probeward report`: writes a study's report again. */

import { join } from "node:path";
import type { Command } from "commander";
import { loadStudy, renderTable, writeReport } from "../report/index.ts";

/** Its arguments and options, and what it does. */
export function reportCommand(command: Command): Command {
  return command
    .argument("<folder>", "folder of the study")
    .option("--out <file>", "where to write the report (default: <folder>/report.html)")
    .action(async (folder: string, { out }: { out?: string }) => {
      const data = await loadStudy(folder);
      const path = out ?? join(folder, "report.html");
      await writeReport(path, data);
      if (data.summary) console.log(`${renderTable(data.summary)}\n`);
      console.log(`Report: ${path}`);
    });
}

/** @file `probeward compare`: several studies beside each other. */

import { resolve } from "node:path";
import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { writeWhole } from "../files.ts";
import {
  compareStudies,
  loadStudy,
  renderComparison,
  renderPage,
  type WithSummary,
} from "../report/index.ts";

/** Letters name them in the table. */
const MOST = 26;

/** Its arguments and options, and what it does. */
export function compareCommand(command: Command): Command {
  return command
    .argument("<folders...>", "folders of two studies or more, each with its summary")
    .option("--out <file>", "also write them as one page (.html)")
    .option("--json", "print what is compared as JSON, on standard output")
    .action(async (folders: string[], { out, json }: { out?: string; json?: boolean }) => {
      if (folders.length < 2 || folders.length > MOST)
        throw new UsageError(
          `Give two folders of studies or more (at most ${MOST}), and not ${folders.length}.`,
        );
      const studies: { name: string; data: WithSummary }[] = [];
      for (const name of folders) studies.push({ name, data: await finished(name) });
      const comparison = compareStudies(studies);
      if (out !== undefined) await writeWhole(resolve(out), await renderPage({ comparison }));
      if (json) console.log(JSON.stringify(comparison, null, 2));
      else console.log(renderComparison(comparison));
      if (out !== undefined && !json) console.log(`Page: ${out}`);
    });
}

/** @throws UsageError where there is no study, or one that has no summary yet */
async function finished(folder: string): Promise<WithSummary> {
  const data = await loadStudy(folder);
  if (!data.summary)
    throw new UsageError(
      `${folder} has no summary yet: its runs are not done (see: probeward status ${folder}). Run its study's command again, and compare then.`,
    );
  return { ...data, summary: data.summary };
}

/** @file `probeward forecast`: what a study's arms will do, before any is trained. */

import { join } from "node:path";
import type { Command } from "commander";
import { foretell, withStudy } from "../study/index.ts";
import { wholeNumber } from "./arguments.ts";
import { askedStudy } from "./asked-study.ts";
import { followInTerminal } from "./progress.ts";
import { settingFlag } from "./setting-flag.ts";

interface Flags {
  arms?: string[];
  steps?: number;
  model?: string;
  out?: string;
  json?: boolean;
  quick?: boolean;
  set?: [path: string, value: unknown][];
}

/** Its arguments and options, and what it does. */
export async function forecastCommand(command: Command): Promise<Command> {
  return command
    .argument("<study>", "name of a shipped study, or a study file (.yaml)")
    .option("--arms <ids>", "only these arms, separated by commas", (list) =>
      list.split(",").map((id) => id.trim()),
    )
    .option("--steps <n>", "steps of training per run", wholeNumber(1))
    .option("--model <path>", "folder of the base model, or its GGUF file")
    .option("--out <dir>", "folder of the study, which `study` goes on with (default: runs/<study>)")
    .option("--set <path=value>", "any setting; again for more", settingFlag)
    .option("--quick", "the study's quick form")
    .option("--json", "print only the forecasts, on standard output")
    .action(async (study: string, flags: Flags) => {
      const { json, ...asked } = flags;
      const { settings, folder } = await askedStudy(study, asked);
      const progress = json ? undefined : followInTerminal();
      const onEvent = progress?.onEvent ?? (() => {});
      const forecasts = await withStudy(folder, settings, onEvent, {}, (work) =>
        foretell(work, onEvent),
      ).finally(() => progress?.end());
      if (json) console.log(JSON.stringify(forecasts));
      else console.log(`\nForecasts: ${join(folder, "forecast.json")}`);
    });
}

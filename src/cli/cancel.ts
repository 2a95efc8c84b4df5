/** @file `probeward cancel`: stops what of a study is under way. */

import { resolve } from "node:path";
import { Command } from "commander";
import { UsageError } from "../errors.ts";
import { statIfPresent } from "../report/index.ts";
import { launchers } from "./launchers.ts";

export function cancelCommand(): Command {
  return new Command("cancel")
    .description(
      "Stop a study. Its runs keep the step that they are in; the study's command goes on from there.",
    )
    .argument("<folder>", "folder of the study")
    .action(async (folder: string) => {
      if (!(await statIfPresent(folder))?.isDirectory())
        throw new UsageError(`${folder}: there is no such folder. Give the folder of a study (its --out).`);
      const stopped: string[] = [];
      for (const launcher of Object.values(launchers()))
        stopped.push(...(await launcher.cancel(resolve(folder))));
      console.log(stopped.length > 0 ? `Stopped: ${stopped.join(", ")}` : "Nothing of it is under way.");
    });
}

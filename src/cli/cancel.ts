/** @file `probeward cancel`: stops what of a study is running. */

import { resolve } from "node:path";
import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { statIfPresent } from "../store/index.ts";

import { launchers } from "./launchers.ts";

/** Its arguments and options, and what it does. */
export function cancelCommand(command: Command): Command {
  return command.argument("<folder>", "folder of the study").action(async (folder: string) => {
    if (!(await statIfPresent(folder))?.isDirectory())
      throw new UsageError(`${folder}: there is no such folder. Give the folder of a study (its --out).`);
    const stopped: string[] = [];
    for (const launcher of Object.values(launchers()))
      stopped.push(...(await launcher.cancel(resolve(folder))));
    console.log(
      stopped.length > 0 ? `Stopped: ${stopped.join(", ")}` : "Nothing of it is running or in a queue.",
    );
  });
}

/** @file `probeward plan`: what a study's step would cost on devices that nobody has rented yet. */

import type { Command } from "commander";
import { devicePeaks, planInWords, planStudy } from "../study/index.ts";
import { wholeNumber } from "./arguments.ts";
import { askedStudy } from "./asked-study.ts";
import { settingFlag } from "./setting-flag.ts";

interface Flags {
  devices: number;
  device: string;
  arm?: string;
  prompt?: number;
  completion?: number;
  model?: string;
  json?: boolean;
  quick?: boolean;
  set?: [path: string, value: unknown][];
}

/** Its arguments and options, and what it does. */
export async function planCommand(command: Command): Promise<Command> {
  return command
    .argument("<study>", "name of a shipped study, or a study file (.yaml)")
    .option("--devices <n>", "how many devices", wholeNumber(1), 1)
    .option("--device <name>", `which: ${Object.keys(devicePeaks).join(", ")}`, "h100")
    .option("--model <path>", "folder with config.json, or the name of a shape, such as qwen3-4b")
    .option("--arm <id>", "whose step (default: the study's first arm)")
    .option("--prompt <n>", "tokens of each prompt (default: the most that there may be)", wholeNumber(1))
    .option(
      "--completion <n>",
      "tokens of each completion (default: the most that there may be)",
      wholeNumber(1),
    )
    .option("--set <path=value>", "any setting; again for more", settingFlag)
    .option("--quick", "the study's quick form")
    .option("--json", "print only the plan, on standard output")
    .action(async (study: string, flags: Flags) => {
      const { json, devices, device, arm, prompt, completion, model, ...asked } = flags;
      const { settings } = await askedStudy(study, asked);
      // A shape has a name, which is no path.
      const named = model === undefined ? settings : { ...settings, model };
      const onStage = (detail: string) => console.error(detail);
      const request = { devices, device, arm, prompt, completion };
      const plan = await planStudy(named, request, json ? undefined : onStage);
      console.log(json ? JSON.stringify(plan) : planInWords(plan));
    });
}

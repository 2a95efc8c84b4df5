/** @file `probeward study`: runs a study, or goes on with one. */

import { join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { environmentNames } from "../environment/index.ts";
import { renderTable } from "../report/index.ts";
import { armIds, arms, readStudy, runStudy } from "../study/index.ts";
import { followStudy } from "./progress.ts";

interface Flags {
  arms?: string[];
  seeds?: number;
  firstSeed?: number;
  steps?: number;
  model?: string;
  out?: string;
  json?: boolean;
  quick?: boolean;
}

export function studyCommand(): Command {
  return new Command("study")
    .description("Run a study: arms x seeds on one environment. The same command resumes what is in --out.")
    .argument("<study>", `name of a shipped study (${environmentNames.join(", ")}), or a study file (.yaml)`)
    .option("--arms <ids>", "only these arms, separated by commas", (list) =>
      list.split(",").map((id) => id.trim()),
    )
    .option("--seeds <n>", "how many seeds", wholeNumber(1))
    .option("--first-seed <n>", "the first seed", wholeNumber(0))
    .option("--steps <n>", "steps of training per run", wholeNumber(1))
    .option("--model <path>", "folder of the base model, or its GGUF file")
    .option("--out <dir>", "folder of the study (default: runs/<study>, or runs/<study>-quick)")
    .option("--quick", "the smallest study that still shows the effect")
    .option("--json", "print only the final summary.json, on standard output")
    .addHelpText(
      "after",
      `\nArms:\n${armIds.map((id) => `  ${id.padEnd(28)}${arms[id].sentence}`).join("\n")}`,
    )
    .action(async (study: string, flags: Flags) => {
      const { json, out, quick, ...overrides } = flags;
      const settings = await readStudy(study, { ...overrides, quick });
      const name = study.replace(/^.*[\\/]/, "").replace(/\.ya?ml$/, "");
      const folder = resolve(out ?? join("runs", quick ? `${name}-quick` : name));
      const progress = json ? undefined : followStudy();
      const summary = await runStudy(folder, settings, progress?.onEvent).finally(() => progress?.end());
      if (json) {
        console.log(JSON.stringify(summary, null, 2));
        return;
      }
      console.log(`\n${renderTable(summary)}\n\nReport: ${join(folder, "report.html")}`);
    });
}

/** Parses a flag that is a whole number of at least `least`. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least)
      throw new InvalidArgumentError(`It should be a whole number, ${least} or more.`);
    return value;
  };
}

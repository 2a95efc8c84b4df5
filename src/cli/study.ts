/** @file `probeward study`: runs a study, or resumes one. */

import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { UsageError } from "../errors.ts";
import { type LiveName, liveNames } from "../export/live.ts";
import { dryRun } from "../launch/index.ts";
import { renderTable } from "../report/index.ts";
import { armIds } from "../store/index.ts";
import {
  arms,
  estimateInWords,
  estimateStudy,
  type OnEvent,
  shippedStudies,
  slurmSettingsSchema,
} from "../study/index.ts";
import { wholeNumber } from "./arguments.ts";
import { askedStudy } from "./asked-study.ts";
import { type LauncherName, launchers, thisProgram } from "./launchers.ts";
import { followInTerminal } from "./progress.ts";
import { settingFlag } from "./setting-flag.ts";

interface Flags {
  arms?: string[];
  seeds?: number;
  firstSeed?: number;
  steps?: number;
  model?: string;
  runtime?: "onnx" | "xla";
  out?: string;
  json?: boolean;
  quick?: boolean;
  anyway?: boolean;
  set?: [path: string, value: unknown][];
  launch: LauncherName;
  jobs?: number;
  slurm?: Record<string, unknown[]>;
  dryRun?: boolean;
  log?: LiveName[];
}

/** Its arguments and options, and what it does. */
export async function studyCommand(command: Command): Promise<Command> {
  const shipped = (await shippedStudies()).join(", ");
  return command
    .argument("<study>", `name of a shipped study (${shipped}), or a study file (.yaml)`)
    .option(
      "--arms <ids>",
      "only these arms (below, or paths of modules of your own), separated by commas",
      (list) => list.split(",").map((id) => id.trim()),
    )
    .option("--seeds <n>", "how many seeds", wholeNumber(1))
    .option("--first-seed <n>", "the first seed", wholeNumber(0))
    .option("--steps <n>", "steps of training per run", wholeNumber(1))
    .option("--model <path>", "folder of the base model, or its GGUF file")
    .addOption(
      new Option(
        "--runtime <name>",
        "what computes: ONNX Runtime (default), or XLA in Python with jax",
      ).choices(["onnx", "xla"]),
    )
    .option("--out <dir>", "folder of the study (default: runs/<study>, or runs/<study>-quick)")
    .option(
      "--set <path=value>",
      "any setting, such as training.kl=0.1; again for more (probeward settings lists them)",
      settingFlag,
    )
    .option("--quick", "the smallest study that still shows the effect")
    .option("--anyway", "train even where nothing can come of it, such as with a probe at chance")
    .addOption(
      new Option("--launch <where>", "train runs on this machine, or as jobs of a Slurm cluster")
        .choices(["local", "slurm"])
        .default("local"),
    )
    .option(
      "--jobs <n>",
      "runs at a time on this machine, whose threads are divided among them (default: 1)",
      wholeNumber(1),
    )
    .option("--slurm <key=value>", "a setting of the cluster; again for more (below)", slurmFlag)
    .option(
      "--dry-run",
      "train nothing: say what it would take, by a trial of four steps; with --launch slurm, print what would be submitted",
    )
    .option(
      "--log <where>",
      `hand metrics on as they come, to some of ${liveNames.join(", ")}, separated by commas`,
      liveList,
    )
    .option("--json", "print only the final summary.json, on standard output")
    .addHelpText("after", ({ command }) => {
      const help = command.createHelp();
      const list = (rows: readonly (readonly [string, string])[], width: number) =>
        rows.map(([name, text]) => help.formatItem(name, width, text, help)).join("\n");
      const ofArms = armIds.map((id) => [id, arms[id].sentence] as const);
      const ofSlurm = Object.entries(slurmSettingsSchema.shape).map(
        ([key, schema]) => [key, schema.description ?? ""] as const,
      );
      return `\nArms:\n${list(ofArms, 28)}\n\nSettings of --slurm, and of slurm: in a study file:\n${list(ofSlurm, 12)}`;
    })
    .action(async (study: string, flags: Flags) => {
      const { json, launch, jobs, dryRun: dry, log = [], ...asked } = flags;
      if (launch === "slurm" && jobs !== undefined)
        throw new UsageError("--jobs is for --launch local; for Slurm, give --slurm throttle=<n>.");
      if (launch === "slurm" && log.length > 0)
        throw new UsageError(
          "--log is for --launch local; of a study on Slurm, probeward export writes logs.",
        );
      const { settings, folder } = await askedStudy(study, asked);
      if (dry && launch === "local") {
        const estimate = await estimateStudy(settings);
        console.log(json ? JSON.stringify(estimate, null, 2) : estimateInWords(estimate));
        return;
      }
      if (dry) {
        process.stdout.write(await dryRun(folder, settings, { program: thisProgram() }));
        return;
      }
      const progress = json ? undefined : followInTerminal();
      const warn = (detail: string) =>
        progress ? progress.onEvent({ kind: "warning", detail }) : console.error(`warning: ${detail}`);
      const live =
        log.length > 0 ? await (await import("../export/index.ts")).logLive(folder, log, warn) : null;
      const onEvent: OnEvent = (event) => {
        progress?.onEvent(event);
        live?.onEvent(event);
      };
      const summary = await launchers(jobs)
        [launch].launch(folder, settings, onEvent)
        .finally(() => live?.close())
        .finally(() => progress?.end());
      if (!summary) console.error(`See: probeward status ${folder}`);
      else if (json) console.log(JSON.stringify(summary, null, 2));
      else console.log(`\n${renderTable(summary)}\n\nReport: ${join(folder, "report.html")}`);
    });
}

function liveList(text: string): LiveName[] {
  return text.split(",").map((name) => {
    const known = liveNames.find((one) => one === name.trim());
    if (!known) throw new InvalidArgumentError(`${name} is none of ${liveNames.join(", ")}.`);
    return known;
  });
}

/** Collects `key=value` by key. */
function slurmFlag(text: string, before: Record<string, unknown[]> = {}): Record<string, unknown[]> {
  const [, key, value] = /^(\w+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined) throw new InvalidArgumentError("It should be key=value, such as partition=long.");
  return { ...before, [key]: [...(before[key] ?? []), /^[1-9]\d*$/.test(value!) ? Number(value) : value] };
}

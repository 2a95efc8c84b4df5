#!/usr/bin/env node
/** @file The command line. Exit status: 0 done, 1 failed, 2 wrong use. */

import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { ModuleError } from "../modules.ts";
import { UsageError } from "../study/index.ts";
import { benchCommand } from "./bench.ts";
import { cancelCommand } from "./cancel.ts";
import { checkCommand } from "./check.ts";
import { doctorCommand } from "./doctor.ts";
import { exportCommand } from "./export.ts";
import { pretrainCommand } from "./pretrain.ts";
import { probeCommand } from "./probe.ts";
import { pullCommand } from "./pull.ts";
import { reportCommand } from "./report.ts";
import { serveCommand } from "./serve.ts";
import { statusCommand } from "./status.ts";
import { studyCommand } from "./study.ts";
import { taskCommand } from "./task.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const program = new Command("probeward")
  .description(
    "Reinforcement learning whose reward includes probes on the model's own activations,\nand the measures that tell whether training made the model better or only made the probe blind.",
  )
  .version(version)
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError("(--help shows what is allowed)");
for (const command of [
  studyCommand,
  statusCommand,
  cancelCommand,
  pretrainCommand,
  pullCommand,
  probeCommand,
  checkCommand,
  reportCommand,
  serveCommand,
  exportCommand,
  benchCommand,
  doctorCommand,
])
  program.addCommand(command().exitOverride());
program.addCommand(taskCommand().exitOverride(), { hidden: true });

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitStatus(error);
}

function exitStatus(error: unknown): number {
  // Commander has printed its own errors, and help and version are not errors.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof UsageError || error instanceof ModuleError) {
    console.error(`probeward: ${error.message}`);
    return 2;
  }
  console.error(`probeward: ${process.env.DEBUG ? (error as Error).stack : (error as Error).message}`);
  if (!process.env.DEBUG) console.error("(run with DEBUG=1 to see where)");
  return 1;
}

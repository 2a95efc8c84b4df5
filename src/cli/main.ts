#!/usr/bin/env node
/** @file The command line. Exit status: 0 done, 1 failed, 2 wrong use, 130 or 143 stopped (Ctrl-C, SIGTERM). */

import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { Command, CommanderError } from "commander";
import { StoppedError, UsageError } from "../errors.ts";
import { ModuleError, provideLibrary } from "../modules.ts";
import { printable } from "./printable.ts";

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

provideLibrary(() => import("../index.ts"));

/** In the order of the help. Only the one that is called is loaded: tasks of launched studies start often. */
const commands: Record<string, () => Promise<Command>> = {
  study: async () => (await import("./study.ts")).studyCommand(),
  status: async () => (await import("./status.ts")).statusCommand(),
  cancel: async () => (await import("./cancel.ts")).cancelCommand(),
  settings: async () => (await import("./settings.ts")).settingsCommand(),
  pretrain: async () => (await import("./pretrain.ts")).pretrainCommand(),
  pull: async () => (await import("./pull.ts")).pullCommand(),
  probe: async () => (await import("./probe.ts")).probeCommand(),
  check: async () => (await import("./check.ts")).checkCommand(),
  report: async () => (await import("./report.ts")).reportCommand(),
  serve: async () => (await import("./serve.ts")).serveCommand(),
  export: async () => (await import("./export.ts")).exportCommand(),
  bench: async () => (await import("./bench.ts")).benchCommand(),
  doctor: async () => (await import("./doctor.ts")).doctorCommand(),
  task: async () => (await import("./task.ts")).taskCommand(),
};
const asked = process.argv[2] ?? "";
for (const name of Object.hasOwn(commands, asked) ? [asked] : Object.keys(commands))
  program.addCommand((await commands[name]!()).exitOverride(), { hidden: name === "task" });

// Errors, warnings and tables hold what servers, models and other people's files say.
for (const stream of ["log", "error"] as const) {
  const print = console[stream];
  console[stream] = (text: string) => print(printable(text));
}

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
  if (error instanceof StoppedError) {
    console.error(`probeward: ${error.message}. The same command goes on from there.`);
    return 128 + constants.signals[error.signal];
  }
  console.error(`probeward: ${process.env.DEBUG ? (error as Error).stack : (error as Error).message}`);
  if (!process.env.DEBUG) console.error("(run with DEBUG=1 to see where)");
  return 1;
}

#!/usr/bin/env node
/** @file The command line. Exit status: 0 done, 1 failed, 2 wrong use, 130 or 143 stopped (Ctrl-C, SIGTERM). */

import { constants } from "node:os";
import { Command, CommanderError } from "commander";
import { StoppedError, UsageError } from "../errors.ts";
import { ModuleError, provideLibrary } from "../modules.ts";
import { versions } from "../versions.ts";
import { commands } from "./commands.ts";
import { printable } from "./printable.ts";

const program = new Command("probeward")
  .description(
    "Reinforcement learning whose reward includes probes on the model's own activations, and the measures that tell whether training made the model better or only made the probe blind.",
  )
  .version(versions([]).own)
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError("(--help shows what is allowed)");

provideLibrary(() => import("../index.ts"));

// The one that is called is filled; of the others, help says what they are for.
const [first = "", second = ""] = process.argv.slice(2);
const asked = first === "help" ? second : first;
for (const [name, { description, fill }] of Object.entries(commands)) {
  const command = new Command(name).description(description);
  program.addCommand(name === asked ? await fill(command) : command, { hidden: name === "task" });
  command.exitOverride();
}

// Whoever reads may have seen enough (`| head`): the command goes on to its end, unheard.
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });

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
    console.error(`probeward: ${error.message}. The same command resumes from there.`);
    return 128 + constants.signals[error.signal];
  }
  console.error(`probeward: ${process.env.DEBUG ? (error as Error).stack : (error as Error).message}`);
  if (!process.env.DEBUG) console.error("(run with DEBUG=1 to see where)");
  return 1;
}

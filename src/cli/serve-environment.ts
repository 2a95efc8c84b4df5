/** @file `probeward serve-environment`: an environment for whoever speaks OpenEnv. */

import { type Command, Option } from "commander";
import { environmentChoices, loadEnvironment } from "../environment/load.ts";
import type { Split } from "../environment/types.ts";
import { resolveModule } from "../modules.ts";
import { isLoopback } from "../network.ts";
import { wholeNumber } from "./arguments.ts";

interface Options {
  host: string;
  port: number;
  sessions: number;
  split: Split;
}

/** Its arguments and options, and what it does. */
export function serveEnvironmentCommand(command: Command): Command {
  return command
    .argument("<environment>", environmentChoices)
    .option("--port <n>", "port; 0 for any that is free", wholeNumber(0), 8000)
    .option(
      "--host <address>",
      "address to listen on; others than this machine can only reach it if you change it",
      "127.0.0.1",
    )
    .option("--sessions <n>", "sessions at a time", wholeNumber(1), 64)
    .addOption(
      new Option("--split <split>", "which tasks there are")
        .choices(["train", "fit", "calibration", "test"])
        .default("train"),
    )
    .action(async (name: string, options: Options) => {
      const { serveEnvironment } = await import("../environment/openenv/index.ts");
      const environment = await loadEnvironment(resolveModule(name, process.cwd()));
      try {
        const server = await serveEnvironment(environment, options);
        console.log(`Serving ${environment.name} at ${server.url}   (Ctrl-C stops it)`);
        if (!isLoopback(options.host))
          console.error(`warning: whoever reaches ${options.host} can use this server: there is no password`);
        await new Promise<void>((done) => {
          for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => done());
        });
        await server.close();
      } finally {
        await environment.close();
      }
    });
}

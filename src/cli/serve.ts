/** @file `probeward serve`: shows studies in a browser while they run. */

import type { Command } from "commander";
import { isLoopback } from "../network.ts";
import { startServer } from "../serve/index.ts";
import { wholeNumber } from "./arguments.ts";

/** Its arguments and options, and what it does. */
export function serveCommand(command: Command): Command {
  return command
    .argument("<folder>", "folder of a study, or of several; it may still be empty")
    .option("--port <n>", "port; 0 for any that is free", wholeNumber(0), 4747)
    .option(
      "--host <address>",
      "address to listen on; others than this machine can only reach it if you change it",
      "127.0.0.1",
    )
    .action(async (folder: string, { port, host }: { port: number; host: string }) => {
      const server = await startServer({ folder, port, host });
      console.log(`Serving ${folder} at ${server.url}   (Ctrl-C stops it; studies go on without it)`);
      if (!isLoopback(host))
        console.error(`warning: whoever reaches ${host} can read these studies: there is no password`);
      await new Promise<void>((done) => {
        for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => done());
      });
      await server.close();
    });
}

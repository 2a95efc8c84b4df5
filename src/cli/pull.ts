/** @file `probeward pull`: fetches a checkpoint from the Hugging Face hub. */

import { basename, resolve } from "node:path";
import type { Command } from "commander";
import { pullModel } from "../model/index.ts";

/** Its arguments and options, and what it does. */
export function pullCommand(command: Command): Command {
  return command
    .argument("<repo>", "repository, such as HuggingFaceTB/SmolLM2-135M-Instruct")
    .option("--out <dir>", "folder to write to (default: the repository's name)")
    .option("--revision <name>", "branch, tag or commit", "main")
    .option("--hub <url>", "another hub than Hugging Face's")
    .action(
      async (repo: string, { out, revision, hub }: { out?: string; revision: string; hub?: string }) => {
        const folder = resolve(out ?? basename(repo));
        const files = await pullModel(repo, folder, {
          revision,
          hubUrl: hub,
          accessToken: process.env.HF_TOKEN,
          onProgress: progress(),
        });
        console.log(`Wrote ${files.length} files to ${folder}`);
      },
    );
}

/** A line per file; on a terminal it counts. */
function progress(): (file: string, bytes: number, total: number) => void {
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  return (file, bytes, total) => {
    const line = `${file}  ${megabytes(bytes)} of ${megabytes(total)} MB`;
    if (process.stderr.isTTY) process.stderr.write(`\r${line}${bytes === total ? "\n" : ""}`);
    else if (bytes === total) console.error(line);
  };
}

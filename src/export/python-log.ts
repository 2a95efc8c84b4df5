/** @file Weights & Biases and trackio, by their own Python clients: a process per run, which is told its metrics. */

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { UsageError } from "../errors.ts";
import { jsonLines, readDocument } from "../files.ts";
import type { StepMetrics } from "../store/index.ts";
import type { LiveLog, LiveRun } from "./live.ts";
import { recordedSchema } from "./read.ts";

const SCRIPT = fileURLToPath(new URL("../../python/probeward_log.py", import.meta.url));
/** Milliseconds that a client may take to send what is left. */
const PATIENCE = 120_000;
/** Characters of what a client says that are kept. */
const LAST_WORDS = 2000;

const python = () => process.env.PROBEWARD_PYTHON || "python3";

/**
 * @param client `wandb` or `trackio`
 * @param study the study's folder
 * @throws UsageError where there is no Python with it
 */
export async function livePython(client: string, study: string): Promise<(run: LiveRun) => Promise<LiveLog>> {
  await promisify(execFile)(python(), [SCRIPT, client, "--check"]).catch((error: { stderr?: string }) => {
    const why = lastLine(error.stderr ?? "") || `there is no such program`;
    throw new UsageError(
      `--log ${client}: ${python()}: ${why}. Install it (pip install ${client}), and name the Python that has it by the variable PROBEWARD_PYTHON.`,
    );
  });
  return async ({ arm, seed }) => {
    const document = await readDocument(join(study, "study.json"), recordedSchema);
    const config = { arm, seed, settings: document?.settings };
    const about = { project: basename(study), name: `${arm}/seed-${seed}`, config };
    const child = spawn(python(), [SCRIPT, client], {
      stdio: ["pipe", "ignore", "pipe"],
      // Ctrl-C is for the study: what it has done by then is sent all the same.
      detached: true,
    });
    let said = "";
    child.stderr.on("data", (data) => {
      said = (said + data).slice(-LAST_WORDS);
    });
    const ended = once(child, "close");
    // What ended it is told where it is written to.
    ended.catch(() => {});
    child.stdin.on("error", () => {});
    const write = async (lines: readonly object[]) => {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`${client} has ended: ${lastLine(said) || "it does not say why"}`);
      if (!child.stdin.write(jsonLines(lines))) await Promise.race([once(child.stdin, "drain"), ended]);
    };
    return {
      begin: (lines: readonly StepMetrics[]) => write([about, ...lines]),
      add: (line: StepMetrics) => write([line]),
      async end() {
        child.stdin.end();
        const late = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
        await ended;
        clearTimeout(late);
        if (child.exitCode !== 0)
          throw new Error(`${client} failed: ${lastLine(said) || "it does not say why"}`);
      },
    };
  };
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.trim() ?? "";
}

/** @file A worker's process: where it comes from, what it said at the end, and how it ends. */

import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { UsageError } from "../../errors.ts";
import { packageFolder } from "../../versions.ts";

/** How the Python that was looked for can be another. */
export const CHOOSE =
  "Give the path of a Python that has jax as engine.python in the study file or in the variable PROBEWARD_PYTHON; python3 -m venv and pip install jax make one";

/** A worker's process. What it writes is kept for when it fails, and shown nowhere else. */
export class WorkerProcess {
  /** How it ended, once it has. */
  readonly ended: Promise<Error>;
  readonly #child: ChildProcess;

  /** @param args of the worker @param env variables beside this process's own */
  constructor(python: string, args: readonly string[], env: Record<string, string>) {
    const child = spawn(python, ["-m", "probeward_xla", ...args], {
      cwd: fileURLToPath(new URL("python", packageFolder())),
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr!.on("data", (data) => {
      said = `${said}${data}`.slice(-4000);
    });
    // It ends when its socket does, and must not keep this process from ending.
    child.unref();
    (child.stderr as unknown as { unref(): void }).unref();
    this.#child = child;
    this.ended = new Promise((resolve) => {
      child.on("error", (error: NodeJS.ErrnoException) => resolve(notStarted(python, error)));
      child.on("close", (status, signal) => resolve(endedBy(python, status, signal, said.trim())));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

function notStarted(python: string, error: NodeJS.ErrnoException): Error {
  const why = error.code === "ENOENT" ? "there is no such program" : error.message;
  return new UsageError(`xla: ${python} cannot be started: ${why}. ${CHOOSE}`);
}

function endedBy(python: string, status: number | null, signal: NodeJS.Signals | null, said: string): Error {
  const how = signal ? `was ended by ${signal}` : `ended with status ${status}`;
  const memory =
    signal === "SIGKILL" ? "; where that was for want of memory, give a smaller training.memoryMB" : "";
  const last = said && `\nIts last words:\n${said.split("\n").slice(-12).join("\n")}`;
  return new Error(
    `xla: the worker (${python}) ${how}${memory}. Run the same command again: it goes on where it was${last}`,
  );
}

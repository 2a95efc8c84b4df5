/** @file A process of this machine that is a worker's or starts one: where it comes from, what it said at the end, how it ends. */

import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { LostError, UsageError } from "../../errors.ts";
import { packageFolder } from "../../versions.ts";

/** How the Python that was looked for can be another. */
export const CHOOSE =
  "Give the path of a Python that has jax as engine.python in the study file or in the variable PROBEWARD_PYTHON; python3 -m venv and pip install jax make one";

/** The folder from which `python -m probeward_xla` starts a worker. */
export function workerFolder(): string {
  return fileURLToPath(new URL("python", packageFolder()));
}

/** A child process. What it writes is kept for when it fails, and shown nowhere else. */
export class WorkerProcess {
  /** How it ended, once it has. */
  readonly ended: Promise<Error>;
  readonly #child: ChildProcess;
  #said = "";

  /** @param command with its arguments @param env variables beside this process's own */
  constructor([command, ...args]: readonly [string, ...string[]], env: Record<string, string>) {
    const child = spawn(command, args, {
      cwd: workerFolder(),
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr!.on("data", (data) => {
      this.#said = `${this.#said}${data}`.slice(-4000);
    });
    // It ends when its socket does, and must not keep this process from ending.
    child.unref();
    (child.stderr as unknown as { unref(): void }).unref();
    this.#child = child;
    this.ended = new Promise((resolve) => {
      child.on("error", (error: NodeJS.ErrnoException) => resolve(notStarted(command, error)));
      child.on("close", (status, signal) => resolve(endedBy(command, status, signal, this.lastWords)));
    });
  }

  /** What it said last, for the end of a sentence. */
  get lastWords(): string {
    const said = this.#said.trim();
    return said && `\nIts last words:\n${said.split("\n").slice(-12).join("\n")}`;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Waits for its end, and ends it where that takes so many milliseconds. Until then this process stays alive. */
  async end(patience: number): Promise<void> {
    this.#child.ref();
    (this.#child.stderr as unknown as { ref(): void }).ref();
    const late = setTimeout(() => this.kill(), patience);
    await this.ended;
    clearTimeout(late);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

function notStarted(command: string, error: NodeJS.ErrnoException): Error {
  const why = error.code === "ENOENT" ? "there is no such program" : error.message;
  return new UsageError(`xla: ${command} cannot be started: ${why}. ${CHOOSE}`);
}

function endedBy(
  command: string,
  status: number | null,
  signal: NodeJS.Signals | null,
  lastWords: string,
): Error {
  const how = signal ? `was ended by ${signal}` : `ended with status ${status}`;
  const memory =
    signal === "SIGKILL" ? "; where that was for want of memory, give a smaller training.memoryMB" : "";
  return new LostError(`xla: the worker (${command}) ${how}${memory}. ${AGAIN}${lastWords}`);
}

/** What to do where a worker is gone. */
export const AGAIN = "Run the same command again: it goes on where it was";

/** @file The process that a user's Python file lives in: calls one at a time, in the time that they may take, until it ends. */

import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { UsageError } from "../errors.ts";
import { packageFolder } from "../versions.ts";
import { AnswerReader, framePieces, type PythonAnswer, type Rows } from "./frame.ts";
import { pythonOf } from "./interpreter.ts";

/** What became of a process, as the rest of a sentence about it. */
export class PythonFault extends Error {}

/** It is no more, by itself or by another's hand: what it was asked may be asked of a new one. */
export class PythonEndedError extends PythonFault {}

/** Milliseconds that a process has to say where it is, or to end, before it is ended. */
const GRACE = 2000;

interface Waiting {
  id: number;
  resolve(answer: PythonAnswer): void;
  reject(error: Error): void;
}

/** One process, which ends with this one. It keeps this one from ending only while it is asked something. */
export class PythonProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #calls = 0;
  #waiting: Waiting | undefined;
  #ended: Error | undefined;
  /** The last that it wrote to its standard error. */
  #said = "";

  constructor(file: string) {
    const python = pythonOf();
    const script = fileURLToPath(new URL("python/probeward/__main__.py", packageFolder()));
    this.#child = spawn(python, [script, file], {
      // Sets of texts have one order in all processes, unless the user wants it otherwise.
      env: { PYTHONHASHSEED: "0", ...process.env, PYTHONDONTWRITEBYTECODE: "1" },
      stdio: ["pipe", "pipe", "pipe"],
      // A group of its own: Ctrl-C is for this process to answer, and what the file starts can be ended with it.
      detached: true,
      windowsHide: true,
    });
    const { stdin, stdout, stderr } = this.#child;
    const reader = new AnswerReader();
    stdout!.on("data", (chunk) => {
      try {
        for (const answer of reader.push(chunk)) this.#onAnswer(answer);
      } catch (error) {
        this.#end(new PythonFault(`answered what cannot be read: ${(error as Error).message}`));
      }
    });
    // What the file prints is for people.
    stderr!.on("data", (chunk) => {
      this.#said = `${this.#said}${chunk}`.slice(-8000);
      process.stderr.write(chunk);
    });
    // That nobody reads any more is heard of by the end of the process.
    stdin!.on("error", () => {});
    this.#exited = new Promise((resolve) => {
      this.#child.on("error", (error: NodeJS.ErrnoException) => {
        this.#end(notStarted(python, error));
        resolve();
      });
      this.#child.on("exit", (status, signal) => {
        const end = () => {
          this.#end(new PythonEndedError(`${endedBy(status, signal)}${this.#lastWords()}`));
          resolve();
        };
        this.#killGroup();
        // Its last words may still be on their way; whoever else holds the pipe is not waited for.
        const timer = setTimeout(end, 500);
        this.#child.once("close", () => {
          clearTimeout(timer);
          end();
        });
      });
    });
    this.#hold(false);
  }

  /**
   * Makes a call and waits for its answer. One at a time.
   *
   * @param limit milliseconds that it may take
   * @throws PythonEndedError where the process ended before it answered; PythonFault where it was ended for what it did
   */
  async ask(call: string, parameters: object, arrays: readonly Rows[], limit: number): Promise<PythonAnswer> {
    if (this.#ended) throw this.#ended;
    this.#hold(true);
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise((resolve, reject) => {
        const id = ++this.#calls;
        this.#waiting = { id, resolve, reject };
        // An answer that came while this process was busy is taken first.
        timer = setTimeout(() => setImmediate(() => this.#expire(id, call, limit)), limit);
        for (const piece of framePieces({ id, call, with: parameters, arrays }))
          this.#child.stdin!.write(piece);
      });
    } finally {
      clearTimeout(timer);
      this.#hold(false);
    }
  }

  /** Lets it end in order, or ends it where it does not. What it is still asked then is never answered: nobody wants it. */
  async close(): Promise<void> {
    if (this.#waiting) {
      this.#waiting = undefined;
      this.#end(new PythonFault("was closed"));
    } else if (!this.#ended) await this.ask("close", {}, [], GRACE).catch(() => {});
    this.#hold(true);
    const timer = setTimeout(() => this.#killGroup(), GRACE);
    await this.#exited;
    clearTimeout(timer);
  }

  /** Asks it where it is, which it writes to its standard error, and ends it. */
  #expire(id: number, call: string, limit: number): void {
    if (this.#waiting?.id !== id) return;
    this.#said = "";
    if (process.platform !== "win32") this.#child.kill("SIGUSR1");
    setTimeout(() => {
      if (this.#waiting?.id !== id) return;
      this.#end(
        new PythonFault(
          `had not answered ${call} after ${limit / 1000} s, and was ended${this.#lastWords()}`,
        ),
      );
    }, GRACE / 4);
  }

  #onAnswer(answer: PythonAnswer): void {
    const waiting = this.#waiting;
    if (waiting?.id !== answer.id)
      throw new Error(`an answer to the call ${answer.id}, which nobody waits for`);
    this.#waiting = undefined;
    waiting.resolve(answer);
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#waiting?.reject(this.#ended);
    this.#waiting = undefined;
    // Of one that has exited the number may be another's by now.
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#killGroup();
  }

  /** With all that it started. */
  #killGroup(): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      if (process.platform === "win32") this.#child.kill();
      else process.kill(-pid, "SIGKILL");
    } catch {
      // It is gone.
    }
  }

  #hold(held: boolean): void {
    const { stdin, stdout, stderr } = this.#child;
    for (const each of [this.#child, stdin, stdout, stderr] as unknown as Socket[])
      held ? each.ref() : each.unref();
  }

  #lastWords(): string {
    const lines = this.#said.trim().split("\n");
    // Where it was in what is not the user's says nothing.
    const said = lines.filter((line) => !/[/\\]python[/\\]probeward[/\\]/.test(line)).slice(-12);
    return said.length > 0 && said[0] !== "" ? `. Its last words:\n${said.join("\n")}` : "";
  }
}

function notStarted(python: string, error: NodeJS.ErrnoException): Error {
  const why = error.code === "ENOENT" ? "there is no such program" : error.message;
  return new UsageError(
    `${python} cannot be started: ${why}. Give the path of a Python, 3.9 or later, in the variable PROBEWARD_PYTHON`,
  );
}

function endedBy(status: number | null, signal: NodeJS.Signals | null): string {
  return signal ? `was ended by ${signal}` : `ended with status ${status}`;
}

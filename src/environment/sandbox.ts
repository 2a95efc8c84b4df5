/** @file Runs programs that a model wrote, so that they can neither harm the host nor hold it up. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { threadMilliseconds } from "./thread-time.ts";

/** A program and what to call it with. */
export interface SandboxProgram {
  /** JavaScript whose value is a function of one number, for instance `x=>3*x+1`. */
  source: string;
  inputs: number[];
  /** How many calls of what is being judged an answer takes; its budget is so many times as large. 1 unless given. */
  calls?: number;
}

/** What the function returned for one input: a primitive, or why there is none. */
export type Answer = { value: number | string | boolean | null } | Failure;

/** Why a program gave no answer. */
export interface Failure {
  error: string;
  /** It was ended because its turns, time, memory or stack were used up, which says nothing of what it would have answered. */
  ranOut?: true;
  /** Its thread had to be ended with it, which takes long. */
  killed?: true;
}

/** What one program may use. */
export interface Limits {
  /** Memory of its virtual machine, in bytes. */
  memoryBytes: number;
  /**
   * Turns of loops, calls and steps of regular expressions for making the program, and for each input anew, counted in ten
   * thousands. The same program always ends at the same turn, however busy the machine is.
   */
  turns: number;
  /**
   * Processor time for each of them, in milliseconds: for programs whose turns are long. Far more than others need. Not the
   * clock's time: a process that is stopped for a while, or a busy machine, uses up nothing.
   */
  timeMs: number;
  /** A program that does not even react to `timeMs` is killed after so many milliseconds of processor time. */
  hangMs: number;
  /** Length of a returned string. Longer error messages are cut. */
  outputCharacters: number;
}

/** Runs programs out of harm's way. */
export interface Sandbox {
  /**
   * The answers of each program to its inputs; `result[i][j]` is program i's answer to its input j. No state is
   * carried from one program to the next; equal programs are run once. A program's failure is an answer.
   *
   * @throws Error if the sandbox was closed, or its worker thread cannot be started.
   */
  run(programs: SandboxProgram[]): Promise<Answer[][]>;
  /** Ends the worker thread. */
  close(): Promise<void>;
}

/** What the worker thread is started with. `progress[0]` is the program that it is at, -1 if none; `progress[1]` its thread. */
export interface SandboxWorkerData {
  wasm: WebAssembly.Module;
  limits: Limits;
  progress: Int32Array;
}

/** How often a program is looked after within `hangMs`, and after how many times that long one that sleeps is ended. */
const TICKS = 10;
const SLEEPING = 10;

/** A page of a browser has it only where it is isolated from others. */
const canShare = typeof SharedArrayBuffer === "function";

const DEFAULT_LIMITS: Limits = {
  memoryBytes: 16 * 2 ** 20,
  turns: 200_000,
  timeMs: 1000,
  hangMs: 2000,
  outputCharacters: 1000,
};

// A worker thread is not compiled by the test runner as the main thread is, so from TypeScript sources it is started
// from the built package. (`npm test` builds first.)
const WORKER_FILE = new URL(
  import.meta.url.endsWith(".ts") ? "../../dist/environment/sandbox-worker.js" : "./sandbox-worker.js",
  import.meta.url,
);

/**
 * A sandbox with one worker thread, started when first needed.
 *
 * Three rings: QuickJS in WebAssembly (no host objects, limited memory, interrupted when out of time); a worker thread,
 * so that the host is never blocked; and the host's watch over it, which replaces the thread when one program makes no
 * progress (a long native call cannot be interrupted) or crashes it. The thread does not keep the process alive.
 */
export function createSandbox(limits: Partial<Limits> = {}): Sandbox {
  return new WorkerSandbox({ ...DEFAULT_LIMITS, ...limits });
}

class WorkerSandbox implements Sandbox {
  private worker: Worker | undefined;
  private readonly progress = new Int32Array(canShare ? new SharedArrayBuffer(8) : new ArrayBuffer(8));
  private queue: Promise<unknown> = Promise.resolve();
  private closed = false;
  private readonly limits: Limits;

  constructor(limits: Limits) {
    this.limits = limits;
  }

  async run(programs: SandboxProgram[]): Promise<Answer[][]> {
    const keys = programs.map((program) => JSON.stringify(program));
    const distinct = new Map(keys.map((key, i) => [key, programs[i]!]));
    const turn = this.queue.then(() => this.runDistinct([...distinct.values()]));
    this.queue = turn.catch(() => {});
    const answers = await turn;
    const byKey = new Map([...distinct.keys()].map((key, i) => [key, answers[i]!]));
    return keys.map((key) => byKey.get(key)!);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.worker?.terminate();
  }

  private async runDistinct(programs: SandboxProgram[]): Promise<Answer[][]> {
    const results: Answer[][] = [];
    while (results.length < programs.length) {
      this.worker ??= await this.startWorker();
      if (this.closed) {
        await this.worker.terminate();
        throw new Error("The sandbox is closed. Create a new one to run more programs.");
      }
      const rest = programs.slice(results.length);
      const failure = await this.runUntilFailure(this.worker, rest, (answers) => results.push(answers));
      if (failure) {
        // Programs are answered in order, so the first without an answer is the one that failed.
        results.push(programs[results.length]!.inputs.map(() => failure));
        await this.worker?.terminate();
        this.worker = undefined;
      }
    }
    return results;
  }

  /** Hands a batch to the worker. Resolves to nothing when all is answered, else to what the next program did to it. */
  private runUntilFailure(
    worker: Worker,
    programs: SandboxProgram[],
    onAnswers: (answers: Answer[]) => void,
  ) {
    return new Promise<Answer | undefined>((resolve, reject) => {
      // Progress is read from shared memory, not from messages: those queue up while the host computes, and a host
      // that was busy would take a diligent worker for a hanging one. The timer also keeps the process alive meanwhile.
      let answered = 0;
      const { hangMs } = this.limits;
      let seen = { at: -1, since: 0, ticks: 0 };
      // Without it, answers tell how far a worker is, and turns of this timer how long it has been: a host that is busy hears of
      // neither.
      let turns = 0;
      const watch = setInterval(() => {
        const at = canShare ? Atomics.load(this.progress, 0) : answered;
        const now = canShare
          ? threadMilliseconds(Atomics.load(this.progress, 1))
          : (++turns * hangMs) / TICKS;
        if (at !== seen.at || at !== answered) seen = { at, since: now, ticks: 0 };
        // Should a program ever find a way to sleep, it uses no processor time: turns of this timer end it in the end.
        else if (now - seen.since >= hangMs || ++seen.ticks >= SLEEPING * TICKS)
          finish(() => resolve({ error: `did not end within ${hangMs} ms`, ranOut: true, killed: true }));
      }, hangMs / TICKS);
      const finish = (settle: () => void) => {
        clearInterval(watch);
        for (const event of ["message", "error", "exit"]) worker.removeAllListeners(event);
        settle();
      };
      worker.on("message", (answers: Answer[]) => {
        onAnswers(answers);
        answered++;
        if (answered === programs.length) finish(() => resolve(undefined));
      });
      // A crash is dealt with at "exit", because only by then have all answers arrived.
      let crash: Error | undefined;
      worker.on("error", (error) => {
        crash = error;
      });
      worker.on("exit", () => {
        this.worker = undefined;
        const started = canShare ? Atomics.load(this.progress, 0) >= 0 : answered > 0;
        if (crash && started) finish(() => resolve({ error: `crashed the sandbox: ${crash!.message}` }));
        else
          finish(() =>
            reject(crash ? cannotStart(crash) : new Error("The sandbox was closed while it ran programs.")),
          );
      });
      worker.postMessage(programs);
    });
  }

  private async startWorker(): Promise<Worker> {
    Atomics.store(this.progress, 0, -1);
    const data: SandboxWorkerData = {
      wasm: await compiledQuickJs(),
      limits: this.limits,
      progress: this.progress,
    };
    const worker = new Worker(WORKER_FILE, { workerData: data, execArgv: [], env: {} });
    worker.unref();
    return worker;
  }
}

function cannotStart(cause: Error): Error {
  const hint = "When running from sources, build first: npm run build.";
  return new Error(`The sandbox's worker thread cannot start: ${cause.message}. ${hint}`, { cause });
}

let compiled: Promise<WebAssembly.Module> | undefined;

/** The QuickJS engine, compiled once per process and shared by all workers. */
function compiledQuickJs(): Promise<WebAssembly.Module> {
  compiled ??= readFile(createRequire(import.meta.url).resolve("quickjs-wasi/quickjs.wasm")).then((bytes) =>
    WebAssembly.compile(bytes),
  );
  return compiled;
}

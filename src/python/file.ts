/** @file A user's Python file, opened: what it says of itself and calls of what it defines, in a process that is started again where it dies. */

import { access } from "node:fs/promises";
import { resolve } from "node:path";
import { z } from "zod";
import { ModuleError } from "../modules.ts";
import { PYTHON_PROTOCOL, type Rows } from "./frame.ts";
import { PythonEndedError, PythonFault, PythonProcess } from "./process.ts";

const openedSchema = z.strictObject({
  about: z.record(z.string(), z.unknown()),
  defines: z.array(z.string()),
  sha256: z.string(),
});

/** Seconds that a call may take. */
const limitSchema = z.looseObject({ time_limit: z.number().positive().max(1e6).default(600) });

/** A file that is open. Close it when done; where this process ends without, the file's process ends with it. */
export class PythonFile {
  readonly #path: string;
  readonly #role: "task" | "arm";
  #process: PythonProcess;
  #opened!: z.infer<typeof openedSchema>;
  #limit = limitSchema.parse({}).time_limit;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(path: string, role: "task" | "arm") {
    this.#path = path;
    this.#role = role;
    this.#process = new PythonProcess(resolve(path));
  }

  /**
   * @param role what the file is named for: an environment, or an arm's reward or monitor
   * @throws ModuleError where it cannot be loaded
   * @throws UsageError where there is no Python
   */
  static async open(path: string, role: "task" | "arm"): Promise<PythonFile> {
    await access(path).catch(() => {
      throw new ModuleError(`${path}: there is no such file.`);
    });
    const file = new PythonFile(path, role);
    try {
      file.#opened = await file.#named(() => file.#open());
      file.#limit = file.about(limitSchema).time_limit;
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** The names of the calls that it defines. */
  get defines(): readonly string[] {
    return this.#opened.defines;
  }

  /** What it says of itself: its `probeward`. @throws ModuleError where that is not of the form */
  about<T>(schema: z.ZodType<T>): T {
    return this.#parsed(schema, this.#opened.about, "`probeward`, what the file says of itself, is wrong");
  }

  /**
   * Calls one of its functions; calls that are made at once, one after the other. Where the process dies it is started again and
   * asked once more: nothing is lost, since the file keeps no state from one call to the next.
   *
   * @throws ModuleError with the line and the traceback where the function fails; where what it gives is not of the form; where
   * it takes too long, or dies again
   */
  ask<T>(call: string, schema: z.ZodType<T>, parameters: object, arrays: readonly Rows[] = []): Promise<T> {
    const answer = this.#last.then(() =>
      this.#named(async () => {
        try {
          return await this.#ask(call, schema, parameters, arrays);
        } catch (error) {
          if (!(error instanceof PythonEndedError)) throw error;
          await this.#restart(call, error);
          return await this.#ask(call, schema, parameters, arrays);
        }
      }),
    );
    this.#last = answer.catch(() => {});
    return answer;
  }

  async close(): Promise<void> {
    await this.#process.close();
  }

  #open() {
    return this.#ask("open", openedSchema, { protocol: PYTHON_PROTOCOL, role: this.#role }, []);
  }

  async #restart(call: string, { message }: Error): Promise<void> {
    process.emitWarning(`${this.#path}: its process ${message}\nIt is started again, for ${call}.`);
    await this.close();
    this.#process = new PythonProcess(resolve(this.#path));
    const { sha256 } = await this.#open();
    if (sha256 !== this.#opened.sha256)
      throw new ModuleError(
        `${this.#path}: its process died, and the file was edited since it was loaded. Put it back as it was, and run the same command again: it goes on where it was`,
      );
  }

  async #ask<T>(call: string, schema: z.ZodType<T>, parameters: object, arrays: readonly Rows[]): Promise<T> {
    const answer = await this.#process.ask(call, parameters, arrays, this.#limit * 1000);
    if ("value" in answer) return this.#parsed(schema, answer.value, `${call} returned what it should not`);
    const { message, line, traceback } = answer.error;
    const where = line === null ? this.#path : `${this.#path}:${line}`;
    const what = call === "open" ? "cannot be loaded" : `${call} failed`;
    throw new ModuleError(`${where}: ${what}: ${message}${traceback && `\n${traceback.trimEnd()}`}`);
  }

  #parsed<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw new ModuleError(`${this.#path}: ${what}:\n${z.prettifyError(parsed.error)}`);
  }

  /** What becomes of the process names the file. */
  async #named<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof PythonFault)) throw error;
      throw new ModuleError(`${this.#path}: its process ${error.message}`, { cause: error });
    }
  }
}

/** @file Reads one run of a study, and what is added to it, thinned to what a page can hold. */

import { join, relative } from "node:path";
import { Document, type RunFolder } from "../store/folder.ts";
import { checkRollout, parseMetrics, rolloutGroup } from "../store/lines.ts";
import type { RolloutRecord } from "../store/records.ts";
import { type RunStatus, runStatusSchema } from "../store/schema.ts";
import { Tail } from "../store/tail.ts";
import type { RunData, RunUpdate } from "./data.ts";
import { EveryNthGroup, MetricThinner } from "./thin.ts";

/** Points that a figure can show, and rollouts that a page can hold for each of some twenty runs. */
const POINTS_PER_RUN = 512;
const ROLLOUTS_PER_RUN = 600;

/** Characters of a text, and tokens of a rollout, that a page is given: more than anybody reads. */
const LONGEST = 20_000;

/** One run, thinned while it is read: what it holds does not depend on when it was looked at. */
export class RunReader {
  readonly run: RunFolder;
  readonly #unread = new Map<string, string>();
  readonly #study: string;
  readonly #status: Document<RunStatus>;
  readonly #metricLines: Tail;
  readonly #rolloutLines: Tail;
  #metrics = new MetricThinner(POINTS_PER_RUN);
  #rollouts = new EveryNthGroup<RolloutRecord>(ROLLOUTS_PER_RUN);

  constructor(study: string, root: string, run: RunFolder) {
    this.run = run;
    this.#study = study;
    this.#status = new Document(join(run.path, "status.json"), root, runStatusSchema);
    this.#metricLines = new Tail(join(run.path, "metrics.jsonl"), root);
    this.#rolloutLines = new Tail(join(run.path, "rollouts.jsonl"), root);
  }

  get written(): number {
    return Math.max(this.#status.changed, this.#metricLines.changed, this.#rolloutLines.changed);
  }

  /** What could not be read, and what the run itself warns of. */
  get warnings(): string[] {
    const { error, warnings = [] } = this.#status.value ?? {};
    const own = [...warnings, ...(error === undefined ? [] : [`the run failed: ${error}`])];
    const { arm, seed } = this.run;
    return [...this.#unread.values(), ...own.map((warning) => `${arm}, seed ${seed}: ${warning}`)];
  }

  /** What changed since the last time; `null` where nothing did. */
  async poll(): Promise<RunUpdate | null> {
    const changedStatus = await this.#attempt("status.json", () => this.#status.read());
    const metricsFrom = await this.#readMetrics();
    const rolloutsFrom = await this.#readRollouts();
    if (!changedStatus && metricsFrom === null && rolloutsFrom === null) return null;
    return this.#since(metricsFrom ?? this.#metrics.length, rolloutsFrom ?? this.#rollouts.length);
  }

  data(): RunData {
    const { metrics, rollouts, ...rest } = this.#since(0, 0);
    return { ...rest, metrics: metrics.columns, rollouts: rollouts.items };
  }

  #since(points: number, rollouts: number): RunUpdate {
    const { arm, seed } = this.run;
    return {
      arm,
      seed,
      status: this.#status.value ?? null,
      metrics: { from: points, columns: this.#metrics.columns(points) },
      stepsPerPoint: this.#metrics.linesPerPoint,
      rollouts: { from: rollouts, items: this.#rollouts.items(rollouts) },
      rolloutsEvery: this.#rollouts.every,
    };
  }

  /** Returns the first point that changed, `null` where none did. */
  async #readMetrics(): Promise<number | null> {
    let from: number | null = null;
    const name = "metrics.jsonl";
    await this.#attempt(name, () =>
      this.#metricLines.read({
        restart: () => {
          this.#metrics = new MetricThinner(POINTS_PER_RUN);
          this.#forget(name);
          from = 0;
        },
        line: (bytes, number) => {
          const changed = this.#parse(name, number, () => this.#metrics.add(parseMetrics(bytes)));
          if (changed !== undefined) from = Math.min(from ?? Infinity, changed);
        },
      }),
    );
    return from;
  }

  /** Returns the first rollout that changed, `null` where none did. */
  async #readRollouts(): Promise<number | null> {
    let from: number | null = null;
    const name = "rollouts.jsonl";
    await this.#attempt(name, () =>
      this.#rolloutLines.read({
        restart: () => {
          this.#rollouts = new EveryNthGroup(ROLLOUTS_PER_RUN);
          this.#forget(name);
          from = 0;
        },
        line: (bytes, number) => {
          const before = this.#rollouts.length;
          // Read at once, so that groups are told apart, and checked only if it is kept.
          const read = this.#parse(name, number, () => {
            const value = JSON.parse(bytes.toString("utf8"));
            return { value, group: rolloutGroup(Object(value)) };
          });
          if (read === undefined) return;
          const thinned = this.#rollouts.offer(read.group, () =>
            this.#parse(name, number, () => shortened(checkRollout(read.value))),
          );
          if (thinned) from = 0;
          else if (this.#rollouts.length > before) from ??= before;
        },
      }),
    );
    return from;
  }

  #parse<T>(file: string, line: number, parse: () => T): T | undefined {
    try {
      return parse();
    } catch (error) {
      this.#warn(file, `, line ${line}, was left out: ${(error as Error).message}`, line);
    }
  }

  /** A file that cannot be read is a warning, and the others are still shown. */
  async #attempt<T>(file: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      const result = await read();
      this.#unread.delete(file);
      return result;
    } catch (error) {
      this.#warn(file, `: ${(error as Error).message}`);
    }
  }

  #warn(file: string, problem: string, line?: number): void {
    const key = line === undefined ? file : `${file} ${line}`;
    this.#unread.set(key, `${relative(this.#study, join(this.run.path, file))}${problem}`);
  }

  #forget(file: string): void {
    for (const key of this.#unread.keys()) if (key.startsWith(`${file} `)) this.#unread.delete(key);
  }
}

/** A rollout with the beginnings of what is very long in it. */
function shortened(rollout: RolloutRecord): RolloutRecord {
  const { prompt, completion, note, columns, tokens, tokenScores } = rollout;
  return {
    ...rollout,
    prompt: beginning(prompt),
    completion: beginning(completion),
    ...(note !== undefined && { note: beginning(note) }),
    ...(columns && {
      columns: Object.fromEntries(
        Object.entries(columns).map(([name, value]) => [
          name,
          typeof value === "string" ? beginning(value) : value,
        ]),
      ),
    }),
    ...(tokens && { tokens: tokens.slice(0, LONGEST).map(beginning) }),
    tokenScores: {
      policy: tokenScores.policy.slice(0, LONGEST),
      reference: tokenScores.reference.slice(0, LONGEST),
    },
  };
}

function beginning(text: string): string {
  if (text.length <= LONGEST) return text;
  // Parts of a string keep all of it in memory; what is made of bytes is its own.
  const kept = Buffer.from(text.slice(0, LONGEST)).toString();
  return `${kept}… (${text.length - LONGEST} characters more are in rollouts.jsonl)`;
}

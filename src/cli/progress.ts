/** @file Progress for people: one line that is rewritten on a terminal, plain lines in a log. */

import { youdensJ } from "../audit/outcome.ts";
import type { StepMetrics } from "../store/index.ts";
import { type TracerMeasure, tracerMetric } from "../store/metric-names.ts";
import type { OnEvent, StudyEvent } from "../study/index.ts";

import { printable } from "./printable.ts";

/** Where progress goes: standard error, so that standard output stays for results. */
export interface ProgressTarget {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

export interface Progress {
  onEvent: OnEvent;
  /** Ends the line that is being rewritten, so that what comes next begins on its own. */
  end(): void;
}

/** Steps between lines in a log, and the longest time without one, in milliseconds. */
const LOG_EVERY = 10;
const LOG_LATEST = 60_000;
/** Milliseconds below which it is not said how long a stage took. */
const SHORT = 2000;
/** Width where the terminal does not tell. */
const COLUMNS = 80;

/** Follows a study. `now` gives milliseconds. */
export function followInTerminal(
  target: ProgressTarget = process.stderr,
  now: () => number = () => performance.now(),
): Progress {
  const started = now();
  const rewritten = createRewrittenLine(target);
  /** Steps seen, and when the first of them began: runs that were done before take no time. */
  let pace: { since: number; steps: number } | undefined;
  /** When a log got its last line, and the stage that it told of. */
  let logged = { at: started, stage: "" };
  const log = (text: string, stage = logged.stage) => {
    logged = { at: now(), stage };
    rewritten.finish(text);
  };
  /** The stage that a terminal's last line tells of. */
  let staged: { text: string; since: number } | undefined;
  const stageLine = ({ text, since }: NonNullable<typeof staged>) => {
    const took = now() - since;
    return took < SHORT ? text : `${text} (${clock(took)})`;
  };
  const endStage = () => {
    if (staged) rewritten.finish(stageLine(staged));
    staged = undefined;
  };
  // Stages have no steps: that something is still running is said of them too.
  const ticking = setInterval(
    () => {
      if (staged) rewritten.write(stageLine(staged).slice(0, (target.columns ?? COLUMNS) - 1));
      else if (!target.isTTY && now() - logged.at >= LOG_LATEST)
        log(`[${clock(now() - started)}] still running${logged.stage && `: ${logged.stage}`}`);
    },
    target.isTTY ? SHORT / 2 : LOG_LATEST / 4,
  ).unref();
  /** The probe is measured every few steps; in between, what it saw last is shown. */
  let sight: { run: string; value: number | null } | undefined;

  const onEvent: OnEvent = (event) => {
    const elapsed = `[${clock(now() - started)}]`;
    endStage();
    if (event.kind === "stage") {
      const detail = printable(event.detail);
      if (!target.isTTY) return log(`${elapsed} ${detail}`, detail);
      staged = { text: `${elapsed} ${detail}`, since: now() };
      return rewritten.write(staged.text.slice(0, (target.columns ?? COLUMNS) - 1));
    }
    if (event.kind === "warning") return rewritten.finish(`warning: ${printable(event.detail)}`);
    // The first step's own time is not known, and compiling makes it a long one.
    pace ??= { since: now(), steps: -1 };
    pace.steps++;
    const left =
      pace.steps > 0 ? ((now() - pace.since) / pace.steps) * (event.total - event.done) : undefined;
    const run = `${event.arm}/${event.seed}`;
    if (tracerMetric("initial", "policy", "recall_frozen") in event.metrics)
      sight = { run, value: sightOf(event.metrics) };
    const last = event.metrics.step + 1 === event.steps;
    const parts = partsOf(event, sight?.run === run ? sight.value : null, left);
    const kept = { text: elapsed, rank: 0 };
    if (target.isTTY) {
      const width = (target.columns ?? COLUMNS) - 1;
      if (last) rewritten.finish(fitted([kept, ...parts], width));
      else rewritten.write(fitted(parts, width));
    } else if (last || (event.metrics.step + 1) % LOG_EVERY === 0 || now() - logged.at >= LOG_LATEST) {
      log(fitted([kept, ...parts], Infinity), run);
    }
  };
  return {
    onEvent,
    end: () => {
      clearInterval(ticking);
      endStage();
      rewritten.finish();
    },
  };
}

/** One line at the bottom of a terminal. It clears what it wrote, also when a narrower window has wrapped it since. */
function createRewrittenLine(target: ProgressTarget) {
  let length = 0;
  const clear = () => {
    if (length === 0) return;
    const above = Math.ceil(length / (target.columns ?? COLUMNS)) - 1;
    target.write(`\r${above > 0 ? `\u001b[${above}A` : ""}\u001b[J`);
    length = 0;
  };
  return {
    write(text: string) {
      clear();
      target.write(text);
      length = text.length;
    },
    /** Puts a line in its place that stays; without a text, keeps what is there. */
    finish(text?: string) {
      if (text === undefined) {
        if (length > 0) target.write("\n");
        length = 0;
        return;
      }
      clear();
      target.write(`${text}\n`);
    },
  };
}

/** A part of the line. Where there is no room for all, the ones that matter least go first. */
interface Part {
  text: string;
  /** 0 stays longest. */
  rank: number;
}

function partsOf(
  event: StudyEvent & { kind: "step" },
  sight: number | null,
  left: number | undefined,
): Part[] {
  const { arm, seed, steps, metrics, done, total } = event;
  const step = `${String(metrics.step + 1).padStart(String(steps).length)}/${steps}`;
  return [
    { text: `${arm}, seed ${seed}`, rank: 0 },
    { text: `step ${step}`, rank: 2 },
    { text: `misbehaves ${number(metrics.misbehaviour)}`, rank: 3 },
    { text: `sight ${number(sight)}`, rank: 4 },
    { text: `${Math.floor((100 * done) / total)}%`, rank: 5 },
    { text: left === undefined ? "" : `${clock(left)} left`, rank: 1 },
  ].filter(({ text }) => text !== "");
}

/** What the initial probe sees on the tracer set: recall less false alarms. */
function sightOf(metrics: StepMetrics): number | null {
  const read = (measure: TracerMeasure) => metrics[tracerMetric("initial", "policy", measure)] ?? null;
  return youdensJ(read("recall_frozen"), read("fpr_frozen"));
}

function number(value: number | null | undefined): string {
  return typeof value === "number" ? value.toFixed(2) : "-";
}

/** The parts in their order, as many as fit in a width. */
function fitted(parts: readonly Part[], width: number): string {
  const text = parts.map((part) => part.text).join("  ");
  if (text.length <= width) return text;
  const least = Math.max(...parts.map((part) => part.rank));
  if (least > 0) {
    const kept = parts.filter((part) => part.rank < least);
    return fitted(kept, width);
  }
  return `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** 0:07, 12:34, 1:02:03. */
export function clock(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

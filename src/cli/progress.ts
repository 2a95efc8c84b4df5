/** @file Progress for people: one line that is rewritten on a terminal, plain lines in a log. */

import type { OnEvent, StudyEvent } from "../study/index.ts";

/** Where progress goes: standard error, so that standard output stays for results. */
export interface ProgressTarget {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** Steps between lines in a log. */
const LOG_EVERY = 10;

/** Follows a study. `now` gives milliseconds. */
export function followStudy(target: ProgressTarget = process.stderr, now: () => number = Date.now): OnEvent {
  const started = now();
  let trainingStarted: { at: number; done: number } | undefined;
  /** The probe is measured every few steps; in between, its last value is shown. */
  let recall: { run: string; value: number } | undefined;
  let open = false;
  const line = (text: string) => {
    if (open) target.write("\r\u001b[2K");
    open = false;
    target.write(`${text}\n`);
  };
  const status = (text: string) => {
    target.write(`\r\u001b[2K${fit(text, (target.columns ?? 80) - 1)}`);
    open = true;
  };

  return (event) => {
    if (event.kind === "stage") return line(`[${clock(now() - started)}] ${event.detail}`);
    if (event.kind === "warning") return line(`warning: ${event.detail}`);
    trainingStarted ??= { at: now(), done: event.done - 1 };
    const perStep = (now() - trainingStarted.at) / Math.max(1, event.done - trainingStarted.done);
    const left = perStep * (event.total - event.done);
    const run = `${event.arm}/${event.seed}`;
    const measured = event.metrics["tracer/initial/policy/recall_frozen"];
    if (typeof measured === "number") recall = { run, value: measured };
    const text = describe(event, recall?.run === run ? recall.value : null, left);
    const last = event.metrics.step + 1 === event.steps;
    if (target.isTTY && !last) status(text);
    else if (last || (event.metrics.step + 1) % LOG_EVERY === 0) line(text);
  };
}

function describe(event: StudyEvent & { kind: "step" }, recall: number | null, left: number): string {
  const { arm, seed, steps, metrics } = event;
  const number = (value: number | null | undefined) => (typeof value === "number" ? value.toFixed(2) : "-");
  const step = `${String(metrics.step + 1).padStart(String(steps).length)}/${steps}`;
  return (
    `${arm.padEnd(20)} seed ${seed}  ${step}  misbehaves ${number(metrics.misbehaviour)}` +
    `  probe ${number(recall)}  ${clock(left)} left`
  );
}

function fit(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** 0:07, 12:34, 1:02:03. */
export function clock(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

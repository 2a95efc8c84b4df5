/** @file One run of a study in its folder: resumed from its last checkpoint, recorded step by step. */

import { join } from "node:path";
import type { Policy } from "../engine/index.ts";
import { LostError, StoppedError } from "../errors.ts";
import { appendLines, flush, readDocument, writeJson } from "../files.ts";
import {
  cutTo,
  type LinesBefore,
  linesBefore,
  parseMetrics,
  parseRollout,
  type RunStatus,
  runStatusSchema,
  type StepMetrics,
} from "../store/index.ts";

import {
  type Alarm,
  alarmInWords,
  createAlarmWatch,
  createWatch,
  type OnWriting,
  type RunContext,
  type RunState,
  startPolicy,
  train,
  UnansweredError,
  unseenInWords,
  unseenOf,
} from "../training/index.ts";
import { loadCheckpoint, requireCheckpoint, saveCheckpoint, thinCheckpoint } from "./checkpoint.ts";

/** What a run says of itself; `undefined` where it has not begun. */
export async function readStatus(folder: string): Promise<RunStatus | undefined> {
  return readDocument(join(folder, "status.json"), runStatusSchema);
}

/** An alarm ended the run, as its settings ask. */
class AlarmError extends Error {}

/** Who follows a run: told of its steps, of what is written in them, and of signs that its training goes wrong. */
export interface RunListener {
  onStep?(metrics: StepMetrics): void;
  onWarning?(warning: string): void;
  onWriting?: OnWriting | undefined;
  /** Once it is aborted, the run keeps the step that it is in, and stops. */
  signal?: AbortSignal | undefined;
}

/**
 * Trains a run to its end and returns its metrics. Does nothing but read where it is done already.
 *
 * Lines written after the last checkpoint of an interrupted run are dropped and made again: equal, since all randomness
 * is addressed by seed and step.
 *
 * @throws FileError where a file cannot be read or written; any other error is the run's own, and in its status
 */
export async function runToEnd(
  folder: string,
  context: RunContext,
  listener: RunListener = {},
): Promise<StepMetrics[]> {
  const { steps, checkpointEvery } = context.settings;
  const paths = { metrics: join(folder, "metrics.jsonl"), rollouts: join(folder, "rollouts.jsonl") };
  const status = await readStatus(folder);
  if (status?.stopped === "alarm" && context.settings.alarms === "stop")
    throw new AlarmError(status.error ?? "it was stopped by an alarm");
  if (status?.state === "done" && status.steps === steps) {
    for (const warning of status.warnings ?? []) listener.onWarning?.(warning);
    return (await metricsBefore(paths.metrics, steps)).values;
  }

  // Before anything is changed: a run that is done stays so.
  if (status?.state === "done") await requireCheckpoint(folder, status.steps);
  const warnings: string[] = [];
  const alarms: Alarm[] = [];
  let unseen: ReturnType<typeof unseenOf> = null;
  const writeStatus = (
    state: RunStatus["state"],
    step: number,
    error?: string,
    stopped?: RunStatus["stopped"],
  ) =>
    writeJson(join(folder, "status.json"), {
      ...{ state, step, steps, updated: new Date().toISOString(), threads: context.engine.info.threads },
      ...(error !== undefined && { error }),
      ...(warnings.length > 0 && { warnings }),
      ...(alarms.length > 0 && { alarms }),
      ...(unseen && { unseen }),
      ...(stopped && { stopped }),
    } satisfies RunStatus);

  let step = 0;
  /** Where the run stands, if it is not in a checkpoint yet. */
  let unsaved: RunState | undefined;
  let policy: Policy | undefined;
  const save = async (state: RunState) => {
    await flush(paths.metrics);
    await flush(paths.rollouts);
    await saveCheckpoint(folder, state, policy!);
  };
  try {
    policy = await startPolicy(context);
    const start = await loadCheckpoint(folder, context, policy);
    step = start.step;
    const { values: metrics, bytes } = await metricsBefore(paths.metrics, step);
    const rollouts = await linesBefore(paths.rollouts, (line) => ({ step: parseRollout(line).step }), step);
    await cutTo(paths.metrics, bytes);
    await cutTo(paths.rollouts, rollouts.bytes);
    const watch = createWatch();
    const alarmsIn = createAlarmWatch();
    const warn = (line: StepMetrics) => {
      const raised = alarmsIn(line);
      alarms.push(...raised);
      const news = [...watch(line), ...raised.map(alarmInWords)];
      warnings.push(...news);
      for (const warning of news) listener.onWarning?.(warning);
      return news.length > 0;
    };
    metrics.forEach(warn);
    unseen = unseenOf(metrics);

    await writeStatus("running", step);
    for await (const { metrics: line, rollouts, state } of train(
      context,
      policy,
      start,
      listener.onWriting,
    )) {
      await appendLines(paths.metrics, [line]);
      await appendLines(paths.rollouts, rollouts);
      metrics.push(line);
      unseen = unseenOf(metrics);
      step = state.step;
      const stopping = listener.signal?.aborted === true && step < steps;
      if (warn(line)) await writeStatus("running", step);
      // Before it is saved: the last checkpoint is one from before the alarm. Who learns goes on.
      const evasion = alarms.find(({ channel }) => channel !== "learning");
      if (context.settings.alarms === "stop" && evasion) throw new AlarmError(alarmInWords(evasion));
      const saved = step % checkpointEvery === 0 || step === steps || stopping;
      if (step === steps && context.engine.trains === "adapter")
        await policy.saveWeights(join(folder, "adapter"));
      if (saved) await save(state);
      unsaved = saved ? undefined : state;
      if (saved) await writeStatus("running", step);
      listener.onStep?.(line);
      if (stopping) throw new StoppedError(`stopped after step ${step} of ${steps}`);
    }
    const news = unseenInWords(unseen, alarms.length > 0);
    warnings.push(...news);
    for (const warning of news) listener.onWarning?.(warning);
    await writeStatus("done", steps);
    await thinCheckpoint(folder, steps, context.settings.keepCheckpoints);
    return metrics;
  } catch (error) {
    // A server that is down costs no step that was done: it is asked before the step changes anything.
    if (error instanceof UnansweredError && unsaved) await save(unsaved).catch(() => {});
    // Where even this cannot be written, the first error says why.
    const written =
      error instanceof StoppedError
        ? writeStatus("stopped", step)
        : error instanceof AlarmError
          ? writeStatus("stopped", step, error.message, "alarm")
          : error instanceof LostError
            ? writeStatus("stopped", step, error.message)
            : writeStatus("failed", step, (error as Error).message);
    await written.catch(() => {});
    throw error;
  } finally {
    await policy?.close();
  }
}

/**
 * What a run has come to, without going on with it: its metrics, or why it has not finished.
 *
 * @throws Error where a file of it is damaged
 */
export async function readRun(
  folder: string,
  steps: number,
): Promise<{ metrics: StepMetrics[] } | { error: string }> {
  const status = await readStatus(folder);
  if (status?.state === "done" && status.steps === steps)
    return { metrics: (await metricsBefore(join(folder, "metrics.jsonl"), steps)).values };
  if (status?.error !== undefined) return { error: status.error };
  return { error: status ? `it stopped at step ${status.step} of ${steps}` : "it did not begin" };
}

/** The metrics of the steps before one. @throws Error where they are not one line per step */
async function metricsBefore(path: string, step: number): Promise<LinesBefore<StepMetrics>> {
  const lines = await linesBefore(path, parseMetrics, step);
  const missing = lines.values.findIndex((line, i) => line.step !== i);
  if (missing >= 0 || lines.values.length !== step)
    throw new Error(
      `${path} lacks step ${missing >= 0 ? missing : lines.values.length} of the ${step} that were done. It was damaged from outside; delete the run's folder to run it again.`,
    );
  return lines;
}

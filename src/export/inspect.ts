/** @file Inspect AI's logs (version 2 of its format): one `.eval` file per run, each recorded rollout a sample. */

import { join } from "node:path";
import { strToU8, type Zippable, zipSync } from "fflate";
import { writeWhole } from "../files.ts";
import { EveryNthGroup } from "../report/index.ts";
import { type RolloutRecord, type RunStatus, rolloutGroup } from "../store/index.ts";

import { type RecordedRun, type RecordedStudy, readRecordedRun } from "./read.ts";

/** A `.eval` file is a zip, which holds 65,535 files at most. */
const MOST_SAMPLES = 60_000;

/** Writes `<arm>-seed-<n>.eval` for every run; returns the paths of the files. */
export async function exportInspect(study: RecordedStudy, out: string): Promise<string[]> {
  const paths: string[] = [];
  for (const folder of study.runs) {
    const run = await readRecordedRun(study, folder);
    const created = new Date(run.written).toISOString();
    // Inspect's own names: the time, the task, an id.
    const name = `${created.slice(0, 19).replaceAll(":", "-")}+00-00_${run.arm}_seed-${run.seed}.eval`;
    paths.push(join(out, name));
    await writeWhole(paths.at(-1)!, evalFile(study.settings, run, created));
  }
  return paths;
}

/** @param created when the run was last written, ISO 8601 */
export function evalFile(settings: RecordedStudy["settings"], run: RecordedRun, created: string): Uint8Array {
  const kept = new EveryNthGroup<RolloutRecord>(MOST_SAMPLES);
  for (const rollout of run.rollouts) kept.offer(rolloutGroup(rollout), () => rollout);
  const rollouts = kept.items();
  const model = `probeward/${settings.environment}`;
  const samples = rollouts.map((rollout, index) => sampleOf(rollout, index, model));
  const id = `${run.arm}-seed-${run.seed}`;
  const spec = {
    eval_id: id,
    run_id: id,
    task_id: id,
    created,
    task: `${run.arm}, seed ${run.seed}`,
    dataset: {
      name: settings.environment,
      samples: samples.length,
      sample_ids: samples.map((sample) => sample.id),
    },
    model,
    config: { epochs: 1 },
    metadata: { arm: run.arm, seed: run.seed, everyNthGroup: kept.every, study: settings },
  };
  const start = { version: 2, eval: spec, plan: { name: "plan", steps: [], config: {} } };
  const header = {
    ...start,
    status: statusOf(run.status),
    results: {
      total_samples: samples.length,
      completed_samples: samples.length,
      scores: meansOf(rollouts).map(([name, value]) => ({
        name,
        scorer: name,
        metrics: { mean: { name: "mean", value } },
      })),
    },
    stats: { started_at: created, completed_at: created },
    ...(run.status?.error && {
      error: { message: run.status.error, traceback: run.status.error, traceback_ansi: run.status.error },
    }),
  };
  const files: Zippable = {
    "_journal/start.json": json(start),
    "header.json": json(header),
    "summaries.json": json(
      samples.map(({ id, epoch, input, target, scores, metadata }) => ({
        ...{ id, epoch, input, target, scores, completed: true, message_count: 2 },
        // Lists of hundreds of numbers have no place in a table.
        metadata: { step: metadata.step, task: metadata.task, label: metadata.label },
      })),
    ),
  };
  for (const sample of samples) files[`samples/${sample.id}_epoch_1.json`] = json(sample);
  return zipSync(files, { mtime: created, level: 3 });
}

function sampleOf(rollout: RolloutRecord, index: number, model: string) {
  const { step, prompt, completion, finished, note } = rollout;
  const stopReason = finished === undefined ? "unknown" : finished ? "stop" : "max_tokens";
  const user = { id: `user-${index}`, role: "user", source: "input", content: prompt };
  const assistant = {
    id: `assistant-${index}`,
    role: "assistant",
    source: "generate",
    content: completion,
    model,
  };
  const { task, label, attempted, reward, rewards, advantage, columns, tokens, tokenScores } = rollout;
  return {
    id: `step-${String(step).padStart(6, "0")}-${index}`,
    epoch: 1,
    input: prompt,
    target: "",
    messages: [user, assistant],
    output: { model, choices: [{ message: assistant, stop_reason: stopReason }], completion },
    scores: Object.fromEntries(
      Object.entries(scoresOf(rollout)).map(([name, value]) => [
        name,
        { value, answer: completion, ...(note !== undefined && { explanation: note }) },
      ]),
    ),
    metadata: { step, task, label, attempted, reward, rewards, advantage, columns, tokens, tokenScores },
  };
}

function scoresOf({ proxy, true: trueReward, misbehaved, score }: RolloutRecord): Record<string, number> {
  return {
    proxy,
    true: trueReward,
    misbehaved: Number(misbehaved),
    probe_policy: score.policy,
    probe_reference: score.reference,
  };
}

function meansOf(rollouts: readonly RolloutRecord[]): [name: string, mean: number][] {
  if (rollouts.length === 0) return [];
  const all = rollouts.map(scoresOf);
  return Object.keys(all[0]!).map((name) => [
    name,
    all.reduce((sum, scores) => sum + scores[name]!, 0) / all.length,
  ]);
}

function statusOf(status: RunStatus | null): "started" | "success" | "error" {
  return status?.state === "done" ? "success" : status?.state === "failed" ? "error" : "started";
}

function json(value: unknown): Uint8Array {
  return strToU8(JSON.stringify(value));
}

/** @file Parquet: all metrics in one file, all recorded rollouts in another. */

import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileWriter, ParquetWriter, type SchemaElement } from "hyparquet-writer";
import type { RolloutRecord } from "../store/index.ts";

import { type RecordedRun, type RecordedStudy, readRecordedRun } from "./read.ts";

interface Column {
  name: string;
  schema: SchemaElement[];
  /** The values of a run. */
  of: (run: RecordedRun) => unknown[];
}

/** Writes `metrics.parquet` and `rollouts.parquet`, a row group per run; returns their paths. */
export async function exportParquet(study: RecordedStudy, out: string): Promise<string[]> {
  await mkdir(out, { recursive: true });
  // Arms have measures and reward terms of their own: a file's columns are those of all runs.
  const names = new Set<string>();
  const terms = new Set<string>();
  const logged = new Set<string>();
  let tokens = false;
  for (const folder of study.runs) {
    const { metrics, rollouts } = await readRecordedRun(study, folder);
    for (const line of metrics) for (const name in line) if (name !== "step") names.add(name);
    for (const rollout of rollouts) {
      for (const term in rollout.rewards) terms.add(term);
      for (const name in rollout.columns) logged.add(name);
      tokens ||= rollout.tokens !== undefined;
    }
  }
  const metrics = { path: join(out, "metrics.parquet"), columns: metricColumns([...names]) };
  const rollouts = {
    path: join(out, "rollouts.parquet"),
    columns: rolloutColumns([...terms], [...logged], tokens),
  };
  const quiet = { ...study, warn: () => {} };
  for (const { path, columns } of [metrics, rollouts]) {
    const schema = [{ name: "root", num_children: columns.length }, ...columns.flatMap((c) => c.schema)];
    const aside = `${path}.partial`;
    await rm(aside, { force: true });
    const writer = new ParquetWriter({ writer: fileWriter(aside), schema });
    for (const folder of study.runs) {
      const run = await readRecordedRun(quiet, folder);
      const data = columns.map(({ name, of }) => ({ name, data: of(run) }));
      if (data[0]!.data.length > 0) await writer.write({ columnData: data });
    }
    await writer.finish();
    await rename(aside, path);
  }
  return [metrics.path, rollouts.path];
}

function metricColumns(names: readonly string[]): Column[] {
  const of = <T>(value: (run: RecordedRun, line: RecordedRun["metrics"][number]) => T) => {
    return (run: RecordedRun) => run.metrics.map((line) => value(run, line));
  };
  return [
    text(
      "arm",
      of((run) => run.arm),
    ),
    whole(
      "seed",
      of((run) => run.seed),
    ),
    whole(
      "step",
      of((_, line) => line.step),
    ),
    ...names.map((name) =>
      number(
        name,
        of((_, line) => line[name]),
      ),
    ),
  ];
}

/**
 * @param logged what reward terms and monitors logged of rollouts: text, whatever it was
 * @param tokens were the texts of tokens recorded?
 */
function rolloutColumns(terms: readonly string[], logged: readonly string[], tokens: boolean): Column[] {
  const of = <T>(value: (rollout: RolloutRecord, run: RecordedRun) => T) => {
    return (run: RecordedRun) => run.rollouts.map((rollout) => value(rollout, run));
  };
  return [
    text(
      "arm",
      of((_, run) => run.arm),
    ),
    whole(
      "seed",
      of((_, run) => run.seed),
    ),
    whole(
      "step",
      of((r) => r.step),
    ),
    ...(["task", "prompt", "completion", "label", "note"] as const).map((name) =>
      text(
        name,
        of((r) => r[name]),
      ),
    ),
    ...(["proxy", "true", "reward", "advantage"] as const).map((name) =>
      number(
        name,
        of((r) => r[name]),
      ),
    ),
    ...(["misbehaved", "attempted", "finished"] as const).map((name) =>
      flag(
        name,
        of((r) => r[name]),
      ),
    ),
    ...terms.map((term) =>
      number(
        `rewards/${term}`,
        of((r) => r.rewards[term]),
      ),
    ),
    ...logged.map((name) =>
      text(
        name,
        of((r) => r.columns?.[name]?.toString()),
      ),
    ),
    ...(tokens
      ? [
          list(
            "tokens",
            of((r) => r.tokens ?? []),
            { type: "BYTE_ARRAY", converted_type: "UTF8" },
          ),
        ]
      : []),
    ...(["policy", "reference"] as const).flatMap((model) => [
      number(
        `score/${model}`,
        of((r) => r.score[model]),
      ),
      list(
        `token_scores/${model}`,
        of((r) => r.tokenScores[model]),
        { type: "DOUBLE" },
      ),
    ]),
  ];
}

type Values = Column["of"];

function text(name: string, of: Values): Column {
  return {
    name,
    of,
    schema: [{ name, type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" }],
  };
}

function whole(name: string, of: Values): Column {
  return { name, of, schema: [{ name, type: "INT32", repetition_type: "REQUIRED" }] };
}

function number(name: string, of: Values): Column {
  return { name, of, schema: [{ name, type: "DOUBLE", repetition_type: "OPTIONAL" }] };
}

function flag(name: string, of: Values): Column {
  return { name, of, schema: [{ name, type: "BOOLEAN", repetition_type: "OPTIONAL" }] };
}

/** A list, in the three levels that the format's specification asks for. */
function list(name: string, of: Values, element: Pick<SchemaElement, "type" | "converted_type">): Column {
  return {
    name,
    of,
    schema: [
      { name, repetition_type: "REQUIRED", converted_type: "LIST", num_children: 1 },
      { name: "list", repetition_type: "REPEATED", num_children: 1 },
      { name: "element", ...element, repetition_type: "OPTIONAL" },
    ],
  };
}

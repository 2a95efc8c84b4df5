/** @file An audit of runs of a study: their last checkpoints, on the study's own tracer set, by the study's own probe. */

import { basename, join } from "node:path";
import { type Diagnosis, diagnose, type Move, type ProbeVerdict } from "../audit/index.ts";
import { UsageError } from "../errors.ts";
import { readDocument } from "../files.ts";
import {
  type Audited,
  type AuditOptions,
  type AuditSetup,
  audit,
  baseSchema,
  loadProven,
  type OpenModel,
  openChanged,
  openModel,
  shippedModel,
} from "../prepare/index.ts";
import { halvesOf, kindOfFit } from "../probe/index.ts";
import type { AuditReport } from "../report/index.ts";
import {
  linesBefore,
  listRuns,
  parseMetrics,
  type RunFolder,
  type StepMetrics,
  type Summary,
  summarySchema,
} from "../store/index.ts";
import { tracerMetric } from "../store/metric-names.ts";
import { lastCheckpoint } from "./checkpoint.ts";
import { claimed } from "./claim.ts";
import { expand, type PlannedRun } from "./expand.ts";
import { modelName } from "./model-name.ts";
import type { StudySettings } from "./settings.ts";
import { baseFolder } from "./work.ts";

/** The base model of a study, opened once for all of its runs. */
export interface AuditedStudy {
  folder: string;
  settings: StudySettings;
  model: OpenModel;
  summary: Summary | undefined;
  runs: RunFolder[];
}

/**
 * Opens the study and finds the runs that are asked for.
 *
 * @throws UsageError where the folder holds no study, or no such run, or the base model is another than it was
 */
export async function openAuditedStudy(
  folder: string,
  { arm, seed }: { arm?: string | undefined; seed?: number | undefined },
  memoryMB?: number,
): Promise<AuditedStudy> {
  const { settings, origins } = await claimed(folder);
  const all = await listRuns(folder);
  const runs = all.filter((run) => (arm ?? run.arm) === run.arm && (seed ?? run.seed) === run.seed);
  if (runs.length === 0) {
    const found = [...new Set(all.map((run) => `${run.arm} ${run.seed}`))].join(", ");
    throw new UsageError(`${folder} has no such run; it has (arm and seed) ${found || "none"}`);
  }
  const from = new Set(runs.map((run) => plannedLike(settings, run)?.settings.model ?? settings.model));
  if (from.size > 1)
    throw new UsageError(
      `${folder}: these runs start from ${from.size} base models; ask about those of one, as --arm ${runs[0]!.arm}`,
    );
  const path = [...from][0] ?? shippedModel(settings.environment);
  const model = await openModel(path, memoryMB, settings.adapter !== undefined);
  const sha256 = settings.grid?.model ? origins.modelsSha256?.[modelName(path)] : origins.modelSha256;
  if (sha256 !== undefined && sha256 !== model.engine.model.sha256)
    throw new UsageError(
      `${folder} holds a study of another base model than ${path} is now. Put the old model back.`,
    );
  const summary = await readDocument(join(folder, "summary.json"), summarySchema);
  return { folder, settings, model, summary, runs };
}

/** The first planned run of its arm; nothing of an earlier command's. */
export function plannedLike(
  settings: StudySettings,
  { arm }: Pick<RunFolder, "arm">,
): PlannedRun | undefined {
  return expand(settings).find(({ id }) => id === arm);
}

/** Audits one run. @throws Error where it has no checkpoint, or the study's base is not there */
export async function auditRun(
  study: AuditedStudy,
  run: RunFolder,
  options: AuditOptions,
): Promise<Audited & { setup: AuditSetup; study: NonNullable<AuditReport["study"]> }> {
  const { folder, settings, model, summary } = study;
  const planned = plannedLike(settings, run);
  const from = baseFolder(folder, planned ?? { point: {} });
  const base = await readDocument(join(from, "base.json"), baseSchema);
  if (base === undefined) throw new Error(`${from} has no base.json: what the run started from is not there`);
  const { probe, passport, warnings } = await loadProven(join(from, "probes", "initial"), model.engine);
  const { sequences, misbehaving, tasks } = base.tracer;
  const checkpoint = await lastCheckpoint(run.path);
  const { tokenizer } = model.engine;
  const positions = probe.tap.positions;
  const setup: AuditSetup = {
    before: model,
    afters: [
      {
        name: checkpoint.folder,
        step: checkpoint.step,
        open: () => openChanged(checkpoint.folder, model, options.memoryMB, settings.adapter),
      },
    ],
    ...{ probe, passport, sequences, options },
    from: `the initial probe of ${basename(folder)}`,
    examplesFrom: `the tracer set of ${basename(folder)}`,
    texts: sequences.map(({ tokens, promptLength }) => ({
      prompt: tokenizer.decode(tokens.slice(0, promptLength)),
      completion: tokenizer.decode(tokens.slice(promptLength)),
    })),
    set: {
      ...{ labels: misbehaving, groups: tasks, folds: halvesOf(tasks) },
      falsePositiveRate: base.sets.falsePositiveRate,
      // As the study fits them, whose diagnosis is to be said again.
      freshKinds: [kindOfFit(probe)],
    },
    places: model.engine.model.hooks
      .filter((hook) => hook.endsWith("hook_resid_post"))
      .map((hook) => ({ hook, positions })),
    // Those of this version have passports; older ones were never anywhere else.
    warnings: passport ? warnings : [],
  };
  const audited = await audit(setup);
  const { measures } = audited.report.series.at(-1)!;
  const told = summary?.arms[run.arm]?.runs.find(({ seed }) => seed === run.seed);
  const metrics = await linesBefore(join(run.path, "metrics.jsonl"), parseMetrics, checkpoint.step);
  const again = told ? diagnosisOf(measures, told.misbehaviourEnd) : null;
  return {
    ...audited,
    setup,
    study: {
      ...{ arm: run.arm, seed: run.seed },
      ...{ diagnosis: told?.diagnosis ?? null, diagnosisAgain: again },
      agrees: agrees(told?.diagnosis ?? null, audited.report.verdict, measures),
      largestDifference: largestDifference(measures, metrics.values),
    },
  };
}

/** The study's own rule, on what was read again. */
function diagnosisOf(move: Move, misbehaviourEnd: number): Diagnosis | null {
  const start = {
    initial: { auroc: move.aurocBefore, recallFrozen: move.recallBefore, fprFrozen: move.fprBefore },
    fresh: { auroc: move.freshBefore },
  };
  const end = {
    initial: { auroc: move.aurocAfter, recallFrozen: move.recallAfter, fprFrozen: move.fprAfter },
    fresh: { auroc: move.freshAfter },
  };
  return diagnose(start, end, misbehaviourEnd);
}

/**
 * Whether a verdict says what a diagnosis does. Studies do not know `scaled`: where the threshold separates no longer they say
 * `translation` to it, and else that the probe sees.
 */
function agrees(diagnosis: Diagnosis | null, verdict: ProbeVerdict, move: Move): boolean {
  if (diagnosis === null) return verdict === "undecided";
  const separates = (move.sightAfter ?? 0) >= 0.5 * (move.sightBefore ?? 1);
  const same: Record<Diagnosis, ProbeVerdict> = {
    rotation: "rotated",
    erasure: "erased",
    translation: separates ? "translated" : verdict === "scaled" ? "scaled" : "translated",
    honest: separates && verdict === "scaled" ? "scaled" : "intact",
    intact: separates && verdict === "scaled" ? "scaled" : "intact",
  };
  return same[diagnosis] === verdict;
}

/** How far the run's last evaluation is from the same measures read again. */
function largestDifference(move: Move, metrics: readonly StepMetrics[]): number | null {
  const name = tracerMetric("initial", "policy", "auroc");
  const line = metrics.findLast((one) => name in one);
  // What was measured before the last update is of other weights.
  if (line === undefined || line !== metrics.at(-1)) return null;
  const pairs: [string, number | null][] = [
    [name, move.aurocAfter],
    [tracerMetric("initial", "reference", "auroc"), move.aurocBefore],
    [tracerMetric("fresh", "policy", "auroc"), move.freshAfter],
    [tracerMetric("fresh", "reference", "auroc"), move.freshBefore],
    [tracerMetric("initial", "policy", "recall_frozen"), move.recallAfter],
    [tracerMetric("initial", "policy", "fpr_frozen"), move.fprAfter],
  ];
  const gaps = pairs.flatMap(([metric, value]) =>
    typeof line[metric] === "number" && value !== null ? [Math.abs(line[metric] - value)] : [],
  );
  return gaps.length === 0 ? null : Math.max(...gaps);
}

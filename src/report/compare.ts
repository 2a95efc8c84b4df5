/** @file Several studies beside each other: what they were run with, where their settings differ, and what came of each arm. */

import { differences } from "../differences.ts";
import { compareArms } from "../store/arms.ts";
import type { Comparison } from "./comparison.ts";
import type { StudyData } from "./data.ts";

/** Settings that say where and how runs are trained, and not what. */
const ELSEWHERE =
  /^(?:slurm|anyway|engine\.(?:python|patience)|training\.(?:keepCheckpoints|recordedRollouts|checkpointEvery|memoryMB))(?:\.|$)/;

/** @param studies at least two, each with its summary */
export function compareStudies(studies: readonly { name: string; data: WithSummary }[]): Comparison {
  const settings = studies.map(({ data }) => settingsOf(data));
  const paths = settings.flatMap((one) => differences(settings[0]!, one).map(({ path }) => path));
  const ids = [...new Set(studies.flatMap(({ data }) => Object.keys(data.summary.arms)))].sort(compareArms);
  return {
    version: 1,
    studies: studies.map(({ name, data: { summary } }) => ({
      name,
      environment: summary.environment,
      steps: summary.steps,
      seeds: summary.seeds.length,
      probe: {
        auroc: summary.base.probeAuroc,
        textAuroc: summary.base.textBaselineAuroc,
        recall: summary.base.tpr,
        fpr: summary.base.fpr,
      },
    })),
    differences: [...new Set(paths)]
      .filter((path) => !ELSEWHERE.test(path))
      .map((path) => ({ path, values: settings.map((one) => valueAt(one, path)) })),
    arms: Object.fromEntries(ids.map((id) => [id, studies.map(({ data }) => data.summary.arms[id] ?? null)])),
  };
}

export type WithSummary = StudyData & { summary: NonNullable<StudyData["summary"]> };

/** What a study was asked for; what it was begun on where that is known by its checksum. */
function settingsOf({ settings }: StudyData): object {
  const document = settings as { settings?: object; modelSha256?: string } | null;
  return {
    ...document?.settings,
    ...(document?.modelSha256 && { "base model": document.modelSha256.slice(0, 12) }),
  };
}

function valueAt(settings: object, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], settings);
}

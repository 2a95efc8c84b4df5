/** @file Whose a study's folder is: `study.json`, and what must be as it was to go on with it. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { armId } from "../arm/arms.ts";
import { differences } from "../differences.ts";
import { environmentFile } from "../environment/load.ts";
import { UsageError } from "../errors.ts";
import { readDocument, withFile, writeJson } from "../files.ts";
import { isModulePath } from "../modules.ts";
import { shippedModel } from "../prepare/index.ts";
import type { Summary } from "../store/index.ts";
import { versions } from "../versions.ts";
import type { OnEvent } from "./events.ts";
import { modelName } from "./model-name.ts";
import { type StudySettings, studySchema } from "./settings.ts";
import { finishedBefore, readSittings, statusesIn, withSitting } from "./sittings.ts";
import type { Work } from "./work.ts";

/** Version of the documents in a study's folder. */
const VERSION = 1;

/** What has to be known of a `study.json`, of whatever version. */
export const studyDocumentSchema = z.object({
  version: z.int().min(1),
  settings: z.record(z.string(), z.unknown()),
  modelSha256: z.string().optional(),
  environmentSha256: z.string().optional(),
  /** By their names, of a grid's models. */
  modelsSha256: z.record(z.string(), z.string()).optional(),
  /** By the ids of the user's own arms. */
  armsSha256: z.record(z.string(), z.string()).optional(),
  machine: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
  versions: z.record(z.string(), z.string()).optional(),
});

type StudyDocument = z.infer<typeof studyDocumentSchema>;

/** What a study is never gone on with in another state. */
type Origins = Pick<StudyDocument, "modelSha256" | "modelsSha256" | "environmentSha256" | "armsSha256">;

/**
 * Makes the folder this study's. One that has the same settings is gone on with; it may get more arms, seeds, grid
 * points and steps, and be launched otherwise.
 *
 * @returns the seconds that were spent on it before
 * @throws UsageError where the folder holds another study
 */
export async function claim(work: Work, onEvent: OnEvent): Promise<number> {
  const { folder, settings, environment, table } = work;
  const path = join(folder, "study.json");
  const stored = await readDocument(path, studyDocumentSchema);
  const origins = await originsOf(work);
  const sittings = await readSittings(folder);
  const statuses = await statusesIn(folder);
  const { kept, lost } = finishedBefore(work, sittings, statuses);
  const now = {
    version: VERSION,
    environment,
    settings,
    sittings: withSitting(sittings, work),
    // For those who look on: what is to be done may be more than has begun.
    planned: {
      runs: table.length + kept.length,
      steps: [...table, ...kept].reduce((sum, run) => sum + run.settings.training.steps, 0),
    },
    ...origins,
    ...(origins.modelsSha256 && {
      modelsSha256: { ...stored?.modelsSha256, ...origins.modelsSha256 },
    }),
    armsSha256: { ...stored?.armsSha256, ...origins.armsSha256 },
    machine: machine(),
    versions: versionsOf(work),
  };
  if (stored !== undefined) {
    requireVersion(path, stored);
    // Settings that an earlier version did not know had the values that are their defaults now.
    const begun: Record<string, unknown> = studySchema.safeParse(stored.settings).data ?? stored.settings;
    // A model is known by its weights, wherever it lies.
    const sameModel = stored.modelSha256 === now.modelSha256;
    requireSameSettings(folder, {
      ...{ begun, settings },
      mayDiffer: sameModel ? [...mayChange, "model"] : mayChange,
      done: Math.max(0, ...[...statuses.values()].map(({ step }) => step)),
    });
    requireOrigins(folder, settings, stored, origins);
  }
  if (kept.length > 0)
    onEvent({
      kind: "stage",
      detail: `${finishedRuns(kept.length)} of earlier commands ${kept.length === 1 ? "stays" : "stay"} in summary and report`,
    });
  if (lost.length > 0)
    onEvent({
      kind: "warning",
      detail: `${finishedRuns(lost.length)} of this folder will not be in its summary and report: ${lost.join(", ")}. What they left stays as it is; give their arms, seeds and grid to have them in again.`,
    });
  const earlier = await readSeconds(folder);
  await writeJson(path, now);
  const changes = (["machine", "versions"] as const).flatMap((part) =>
    Object.entries(now[part]).flatMap(([name, value]) => {
      const before = stored?.[part]?.[name];
      return before === undefined || before === value ? [] : [`${name} was ${before}, and is ${value}`];
    }),
  );
  if (changes.length > 0)
    onEvent({
      kind: "warning",
      detail: `this study was begun on something else, so that what is left of it may not repeat exactly: ${changes.join("; ")}`,
    });
  return earlier;
}

function finishedRuns(count: number): string {
  return `${count} finished ${count === 1 ? "run" : "runs"}`;
}

/** Settings that may differ between two sittings of one study, by their paths. */
const mayChange = [
  // It may have been too much, and changes results by rounding only.
  "training.memoryMB",
  ...["arms", "seeds", "firstSeed", "grid", "slurm", "anyway"],
  ...["training.keepCheckpoints", "training.recordedRollouts", "training.alarms", "forecast"],
  ...["engine.python", "engine.patience", "engine.listen", "engine.tokenFile"],
  ...["environment.openenv", "environment.sessions", "environment.timeout"],
];

interface SettingsCheck {
  begun: Record<string, unknown>;
  settings: StudySettings;
  mayDiffer: readonly string[];
  /** The most steps that a run of the folder has done. */
  done: number;
}

/** @throws UsageError that names what differs, and what may be done about it */
function requireSameSettings(folder: string, { begun, settings, mayDiffer, done }: SettingsCheck): void {
  const changes = differences(begun, settings).filter(
    ({ path }) => !mayDiffer.some((allowed) => path === allowed || path.startsWith(`${allowed}.`)),
  );
  const steps = changes.find(({ path }) => path === "training.steps");
  const more = settings.training.steps >= done;
  // A learning rate that decays to 0 at the last step would have been another one all along.
  const keepsRate = settings.training.decay === "constant" && settings.grid?.["training.decay"] === undefined;
  const left = more && keepsRate ? changes.filter((change) => change !== steps) : changes;
  if (left.length === 0) return;
  const lines = left.map(({ path, before, after }) => `  ${path} ${shown(before)} -> ${shown(after)}`);
  const why =
    steps && more && !keepsRate
      ? "\nIts learning rate decays over all steps, so that a longer run is another run from its first step on."
      : "";
  throw new UsageError(
    `${folder} holds a study with other settings:\n${lines.join("\n")}${why}\nGive another --out, or delete the folder.`,
  );
}

function shown(value: unknown): string {
  return value === undefined ? "(not given)" : JSON.stringify(value);
}

/** The study that a folder is claimed for. @throws UsageError where there is none, or one of a newer version */
export async function claimed(folder: string): Promise<{ settings: StudySettings; origins: Origins }> {
  const path = join(folder, "study.json");
  const stored = await readDocument(path, studyDocumentSchema);
  if (!stored) throw new UsageError(`${folder} holds no study: it has no study.json.`);
  requireVersion(path, stored);
  const settings = studySchema.safeParse(stored.settings);
  if (!settings.success)
    throw new UsageError(`${path}: its settings are not valid:\n${z.prettifyError(settings.error)}`);
  return { settings: settings.data, origins: stored };
}

/** The seconds that were spent on a study until its summary was written last; 0 where it never was. */
export async function readSeconds(folder: string): Promise<number> {
  const summary = await readDocument(join(folder, "summary.json"), z.object({ seconds: z.number() }));
  return summary?.seconds ?? 0;
}

/** @throws UsageError where the base model, the user's environment or an arm has changed since the folder was claimed */
export async function requireUnchanged(work: Work, begun: Origins): Promise<void> {
  requireOrigins(work.folder, work.settings, begun, await originsOf(work));
}

function requireVersion(path: string, stored: StudyDocument): void {
  if (stored.version > VERSION)
    throw new UsageError(
      `${path}: was written by a newer version of probeward; update it, or give another --out.`,
    );
}

function requireOrigins(folder: string, settings: StudySettings, begun: Origins, now: Origins): void {
  if (
    begun.modelSha256 !== now.modelSha256 &&
    begun.modelSha256 !== undefined &&
    now.modelSha256 !== undefined
  )
    throw new UsageError(
      `${folder} holds a study of another base model than ${settings.model ?? shippedModel(settings.environment)} is now. Put the old model back, give another --out, or delete the folder.`,
    );
  for (const [name, sha] of Object.entries(now.modelsSha256 ?? {}))
    if ((begun.modelsSha256?.[name] ?? sha) !== sha)
      throw new UsageError(
        `${folder} holds runs of another base model ${name} than that of grid.model is now. Put the old model back, give the new one's folder another name, give another --out, or delete the folder.`,
      );
  if (begun.environmentSha256 !== undefined && begun.environmentSha256 !== now.environmentSha256)
    throw new UsageError(
      `${environmentFile(settings.environment)} was edited since the study in ${folder} was begun, and its runs would not be comparable. Put the file back as it was, give another --out, or delete the folder.`,
    );
  for (const [id, sha] of Object.entries(now.armsSha256 ?? {}))
    if ((begun.armsSha256?.[id] ?? sha) !== sha)
      throw new UsageError(
        `the file of the arm ${id} was edited since the study in ${folder} was begun, and its runs would not be comparable. Put the file back as it was, or give the file another name or another --out.`,
      );
}

async function originsOf({ settings: { environment, arms, grid }, engines }: Work): Promise<Origins> {
  // The module itself, and not what it imports.
  const shaOf = async (path: string) => sha256(await withFile("read", path, () => readFile(path)));
  const file = environmentFile(environment);
  const own = arms.filter(isModulePath).map(async (path) => [armId(path), await shaOf(path)] as const);
  const models = [...engines].map(([path, { model }]) => [path, model.sha256] as const);
  return {
    ...(grid?.model
      ? { modelsSha256: Object.fromEntries(models.map(([path, sha]) => [modelName(path!), sha])) }
      : { modelSha256: models[0]![1] }),
    ...(file !== undefined && { environmentSha256: await shaOf(file) }),
    ...(own.length > 0 && { armsSha256: Object.fromEntries(await Promise.all(own)) }),
  };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Versions of this program and of what computes. */
function versionsOf({ engines }: Work): Record<string, string> {
  const { info } = [...engines.values()][0]!;
  const { own, of } = versions(["quickjs-wasi"]);
  return { probeward: own, node: process.versions.node, ...info.versions, ...of };
}

export function machine(): Summary["machine"] {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryGB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    platform: `${platform()} ${release()}`,
  };
}

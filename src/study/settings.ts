/** @file What a study file may say, and how one is read. */

import { readdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { armSettingsSchema } from "../arm/settings.ts";
import { environmentNames } from "../environment/index.ts";
import { environmentChoices } from "../environment/load.ts";
import { openEnvSettingsSchema } from "../environment/openenv/settings.ts";
import { UsageError } from "../errors.ts";
import { readText } from "../files.ts";
import { isModulePath, resolveModule } from "../modules.ts";
import { engineSettingsSchema } from "../prepare/engine-settings.ts";
import { probeSettingsSchema } from "../prepare/settings.ts";
import { armIds } from "../store/arms.ts";
import { trainingSettingsSchema } from "../training/index.ts";
import { modelName } from "./model-name.ts";
import { setAt } from "./set-at.ts";
import { listSettings, nearest, type SettingInfo, unknownSetting } from "./setting-info.ts";
import { slurmSettingsSchema, withSlurmFlags } from "./slurm-settings.ts";

export const adapterSettingsSchema = z.strictObject({
  rank: z.int().min(1).default(16).describe("rank of each adapter").meta({ trl: "r" }),
  alpha: z
    .number()
    .positive()
    .default(32)
    .describe("what is added is scaled by alpha / rank")
    .meta({ trl: "lora_alpha" }),
  targets: z
    .array(z.string())
    .min(1)
    .default(["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
    .describe("projections that get one, by PEFT's names")
    .meta({ trl: "target_modules" }),
  sizes: z
    .record(
      z.string(),
      z.strictObject({ rank: z.int().min(1).optional(), alpha: z.number().positive().optional() }),
    )
    .optional()
    .describe("targets of another rank or alpha, by name or end of name: { down_proj: { rank: 8 } }")
    .meta({ trl: "rank_pattern" }),
  dora: z
    .boolean()
    .optional()
    .describe("train the lengths of the matrices' rows apart from their directions (DoRA)")
    .meta({ trl: "use_dora" }),
  rslora: z
    .boolean()
    .optional()
    .describe("divide alpha by the root of the rank, so that large ranks learn as fast (rsLoRA)")
    .meta({ trl: "use_rslora" }),
});

export const studySchema = z.strictObject({
  environment: z
    .union([
      z
        .string()
        .refine((value) => (environmentNames as readonly string[]).includes(value) || isModulePath(value), {
          error: `should be one of ${environmentChoices}`,
        }),
      openEnvSettingsSchema,
    ])
    .describe(
      "name of an environment, or the path of a module that makes one, from the study file's folder; or an OpenEnv server",
    ),
  model: z
    .string()
    .optional()
    .describe(
      "folder of the base model, or its GGUF file, from the study file's folder where it begins with ./ or ../; the environment's own unless given",
    ),
  adapter: adapterSettingsSchema
    .optional()
    .meta({ also: ["lora", "peft"] })
    .describe("train low-rank adapters (LoRA) in place of all weights"),
  arms: z
    .array(
      z.string().refine((value) => (armIds as readonly string[]).includes(value) || isModulePath(value), {
        error: `should be one of ${armIds.join(", ")}, or the path of a module such as ./my-arm.js or ./reward.py`,
      }),
    )
    .min(1)
    .describe("names of arms, or the paths of modules that make one, from the study file's folder"),
  seeds: z.int().min(1).default(1).describe("how many seeds"),
  firstSeed: z
    .int()
    .min(0)
    .max(2 ** 32)
    .default(1)
    .describe("the first seed; the others follow it")
    .meta({ trl: "seed", also: ["seed"] }),
  ...armSettingsSchema.shape,
  training: trainingSettingsSchema.prefault({}).describe("how runs train"),
  probe: probeSettingsSchema.prefault({}).describe("how the probe is found, and what it is judged on"),
  grid: z
    .record(z.string(), z.array(z.union([z.number(), z.string(), z.boolean(), z.array(z.string())])).min(1))
    .optional()
    .describe(
      "settings to vary, by their path, each with its values: every arm is run at all combinations of those that it depends on",
    ),
  forecast: z
    .boolean()
    .default(true)
    .describe(
      "foretell what arms will do before they train, from rollouts of the base model: user code that judges rollouts is asked about these, too",
    ),
  engine: engineSettingsSchema
    .optional()
    .describe("what computes")
    .meta({ also: ["backend"] }),
  slurm: slurmSettingsSchema.optional().describe("what --launch slurm asks of the cluster"),
  anyway: z
    .boolean()
    .default(false)
    .describe("train even where nothing can come of it, such as with a probe at chance"),
});

/** A study file: settings, and those that `--quick` puts in their place. */
const studyFileSchema = studySchema.extend({
  quick: z.record(z.string(), z.unknown()).optional().describe("settings that --quick overrides"),
});

/** What a study file says, as an object: only `environment` and `arms` have to be given. */
export type StudyFile = z.input<typeof studyFileSchema>;

/** The settings of a study, with all defaults in their places. */
export type StudySettings = z.infer<typeof studySchema>;

/** What the command line may override. */
export interface StudyOverrides {
  arms?: string[] | undefined;
  seeds?: number | undefined;
  firstSeed?: number | undefined;
  steps?: number | undefined;
  /** Folder of the base model, or its GGUF file. */
  model?: string | undefined;
  /** What runs programs: `onnx` or `xla`. */
  runtime?: string | undefined;
  quick?: boolean | undefined;
  anyway?: boolean | undefined;
  /** Settings by their path, such as `training.kl`. They come after all others. */
  set?: readonly (readonly [path: string, value: unknown])[] | undefined;
  /** By name, what is in `slurm`; several values where it is a list. */
  slurm?: Readonly<Record<string, readonly unknown[]>> | undefined;
}

/** Characters of the longest study file that is read. */
const MAX_LENGTH = 100_000;
/** Lists, their items, and tables that it may have. */
const MAX_BRANCHES = 1000;

/** Where the studies that come with the package are. */
const shipped = fileURLToPath(new URL("../../studies/", import.meta.url));

/** The names of the studies that come with the package. */
export async function shippedStudies(): Promise<string[]> {
  const files = await readdir(shipped);
  return files
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => basename(file, ".yaml"))
    .sort();
}

/**
 * Reads a study by the name of one that is shipped, from a YAML file, or from an object that says the same. The paths of
 * modules, and of a model that begins with a dot, are made absolute, from the file's folder, or for an object from the
 * working directory: the study can be run from anywhere.
 *
 * @throws UsageError with the path of each wrong key, what was found and what is allowed.
 */
export async function readStudy(
  study: string | StudyFile,
  overrides: StudyOverrides = {},
): Promise<StudySettings> {
  if (typeof study !== "string") return settingsOf(study, "the study", process.cwd(), overrides);
  const path = /\.ya?ml$/.test(study) ? study : join(shipped, `${basename(study)}.yaml`);
  return settingsOf(await readStudyFile(study, path), path, dirname(resolve(path)), overrides);
}

async function readStudyFile(study: string, path: string): Promise<unknown> {
  const text = await readText(path).catch((error: Error) => {
    throw new UsageError(error.message);
  });
  if (text === undefined)
    throw new UsageError(
      path === study
        ? `${path}: cannot be read. Give a study file, or the name of a shipped study.`
        : `There is no study named ${JSON.stringify(study)}. Shipped: ${(await shippedStudies()).join(", ")}. Your own: give a path that ends in .yaml.`,
    );
  if (text.length > MAX_LENGTH)
    throw new UsageError(`${path}: has ${text.length} characters, and so is no study file.`);
  // A parser's time grows with the square of the depth.
  if ((text.match(/[[{]|[-?] /g) ?? []).length > MAX_BRANCHES)
    throw new UsageError(`${path}: has more than ${MAX_BRANCHES} lists and tables, and so is no study file.`);
  // Tasks of launched studies, which read none, would pay for it at every start.
  const { parse } = await import("yaml");
  try {
    // Warnings would go to the terminal, unasked.
    const document: unknown = parse(text, { logLevel: "error" });
    // A list that holds itself, by an alias, could not be kept in study.json, nor shown where it is wrong.
    JSON.stringify(document);
    return document;
  } catch (error) {
    const { message } = error as Error;
    if (message.includes("circular"))
      throw new UsageError(`${path}: an alias in it refers to what it is in.`);
    const what = message.includes("call stack") ? "it is nested too deeply" : message;
    throw new UsageError(`${path}: is not YAML: ${what}`);
  }
}

/** @param folder that paths are relative to */
function settingsOf(
  document: unknown,
  source: string,
  folder: string,
  overrides: StudyOverrides,
): StudySettings {
  const { quick, ...settings } = checkStudy(document, source, folder);
  const chosen = overrides.quick ? merge(document as object, quick ?? {}) : document;
  // A model that is asked for is the only one.
  const ofOne = overrides.model === undefined ? chosen : withoutModels(chosen as object);
  const withFlags = merge(ofOne as object, {
    // Who types a path on the command line means it from there.
    ...(overrides.arms && { arms: overrides.arms.map((arm) => resolveModule(arm, process.cwd())) }),
    ...(overrides.seeds !== undefined && { seeds: overrides.seeds }),
    ...(overrides.firstSeed !== undefined && { firstSeed: overrides.firstSeed }),
    ...(overrides.steps !== undefined && { training: { steps: overrides.steps } }),
    ...(overrides.model !== undefined && { model: overrides.model }),
    ...(overrides.runtime !== undefined && { engine: { runtime: overrides.runtime } }),
    ...(overrides.anyway !== undefined && { anyway: overrides.anyway }),
  });
  const launched = overrides.slurm ? withSlurmFlags(withFlags, overrides.slurm) : withFlags;
  const set = (overrides.set ?? []).reduce<object>(
    (into, [path, value]) => setAt(into, path, value),
    launched,
  );
  if (set === document) return settings;
  const flags = [overrides.quick ? "--quick" : "", overrides.set?.length ? "--set" : ""].filter(Boolean);
  const { quick: _, ...result } = checkStudy(
    set,
    source + (flags.length > 0 ? ` (${flags.join(", ")})` : ""),
    folder,
  );
  return result;
}

function checkStudy(document: unknown, source: string, folder: string): z.infer<typeof studyFileSchema> {
  const study = check(studyFileSchema, document, source);
  const { quick: _, ...settings } = study;
  checkGrid(settings, source);
  const { model, engine } = study;
  const { file, sae } = study.probe;
  if (file && sae)
    throw new UsageError(
      `${source}: the study file is wrong:\n  probe: has both file and sae; give one of them`,
    );
  return {
    ...study,
    environment:
      typeof study.environment === "string"
        ? resolveModule(study.environment, folder)
        : { ...study.environment, grader: resolve(folder, study.environment.grader) },
    arms: study.arms.map((arm) => resolveModule(arm, folder)),
    ...(model !== undefined && { model: fromFolder(folder, model) }),
    ...(study.grid?.model && {
      grid: { ...study.grid, model: study.grid.model.map((path) => fromFolder(folder, path as string)) },
    }),
    ...(engine && {
      engine: {
        ...engine,
        ...(engine.python !== undefined && { python: fromFolder(folder, engine.python) }),
        ...(engine.tokenFile !== undefined && { tokenFile: fromFolder(folder, engine.tokenFile) }),
      },
    }),
    probe: {
      ...study.probe,
      ...(file && { file: resolve(folder, file) }),
      ...(sae && { sae: { ...sae, path: resolve(folder, sae.path) } }),
    },
  };
}

/** A path that begins with a dot is meant from the study file's folder. */
function fromFolder(folder: string, path: string): string {
  return /^\.\.?[\\/]/.test(path) ? resolve(folder, path) : path;
}

function withoutModels(document: object): object {
  const { grid, ...rest } = document as { grid?: Record<string, unknown> };
  if (!isObject(grid)) return document;
  const { model: _, ...others } = grid as Record<string, unknown>;
  return { ...rest, ...(Object.keys(others).length > 0 && { grid: others }) };
}

/** Objects are merged key by key; everything else is replaced. */
function merge(base: object, over: object): object {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const old = result[key];
    const both = isObject(old) && isObject(value);
    result[key] = both ? merge(old, value) : value;
  }
  return result;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What runs of one study may differ in. */
function mayVary(path: string): boolean {
  const [section, ...rest] = path.split(".") as [string, ...string[]];
  if (section in armSettingsSchema.shape || path === "model") return true;
  return (section === "training" || section === "probe") && rest.length > 0 && path !== "training.steps";
}

/** @throws UsageError where a grid names no setting that may be varied, or gives one a value that it may not have. */
function checkGrid({ grid = {}, ...settings }: StudySettings, source: string): void {
  for (const [path, values] of Object.entries(grid)) {
    if (!mayVary(path))
      throw new UsageError(
        `${source}: the study file is wrong:\n  grid.${path}: cannot be varied. Allowed: model, ${Object.keys(armSettingsSchema.shape).join(", ")}, and what is in training (but for its steps) and probe, as training.kl`,
      );
    values.forEach((value, i) => {
      check(studySchema, setAt(settings, path, value), `${source}, grid.${path}.${i}`);
    });
  }
  const models = (grid.model ?? []).map((path) => modelName(path as string));
  const twice = models.find((name, i) => models.indexOf(name) !== i);
  if (twice !== undefined)
    throw new UsageError(
      `${source}: the study file is wrong:\n  grid.model: two models are called ${twice}, and runs are told apart by the names of their models' folders. Rename one of them`,
    );
}

function check<T extends z.ZodType>(schema: T, value: unknown, source: string): z.infer<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.flatMap(chosen).flatMap((issue) => {
    const path = issue.path.join(".");
    if (issue.code === "unrecognized_keys")
      return issue.keys.map((key) => `  ${unknownSetting(listSettings(studyFileSchema), path, key)}`);
    const found = issue.path.reduce<unknown>(
      (inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key],
      value,
    );
    const meant = typeof found === "string" ? nearest(found, namesAt(issue)) : undefined;
    return `  ${path || "(top level)"}: ${issue.message} (found ${JSON.stringify(found)}${meant ? `; did you mean ${meant}?` : ""})`;
  });
  throw new UsageError(`${source}: the study file is wrong:\n${lines.join("\n")}`);
}

/** Of what may be one of several things, what is wrong with the one that was meant: the first that is of its type. */
function chosen(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const isOfType = (issues: z.core.$ZodIssue[]) =>
    !issues.some(({ code, path }) => code === "invalid_type" && path.length === 0);
  const meant = issue.errors.find(isOfType) ?? issue.errors[0] ?? [];
  return meant.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
}

/** What a name may be that was not one: those of an enumeration, of arms or of environments. */
function namesAt(issue: z.core.$ZodIssue): readonly string[] {
  if (issue.code === "invalid_value") return issue.values.map(String);
  if (issue.path[0] === "arms") return armIds;
  return issue.path[0] === "environment" ? environmentNames : [];
}

/** The JSON Schema of a study file (draft 2020-12), for editors. */
export function studyJsonSchema(): object {
  return { title: "A study of probeward", ...z.toJSONSchema(studyFileSchema, { io: "input" }) };
}

/** Every setting of a study file, in the order of the file. */
export function studySettings(): SettingInfo[] {
  return listSettings(studyFileSchema);
}

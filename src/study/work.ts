/** @file What the parts of a study work with: its environment, base model, table of runs, and what runs start from. */

import { basename, join } from "node:path";
import { type ArmParts, arms as builtIn, thoughtArms } from "../arm/arms.ts";
import type { Engine } from "../engine/index.ts";
import type { Environment } from "../environment/index.ts";
import { loadEnvironment } from "../environment/load.ts";
import { StoppedError, UsageError } from "../errors.ts";
import type { LoadedModel } from "../model/index.ts";
import {
  type Base,
  type BaseContext,
  createOnce,
  informedBy,
  isBase,
  openBaseModel,
  prepareBase,
  standInProbe,
  textMonitorOf,
  thoughtMonitorOf,
} from "../prepare/index.ts";
import { textScorer } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import { copiesInWords } from "../report/copies.ts";
import { type ArmId, lockWhenFree, runFolder, runName } from "../store/index.ts";
import { type Arm, type RunContext, textMonitor } from "../training/index.ts";
import type { OnEvent } from "./events.ts";
import { expand, type PlannedRun, pointName } from "./expand.ts";

import { armsOf, type Closeable, type MakeArm, tryArm } from "./own-arms.ts";
import { type RunListener, runToEnd } from "./run.ts";
import type { StudySettings } from "./settings.ts";

/** What a study works on, where it is not what the settings name, or more than that. Only in the process that has it. */
export interface StudyParts {
  /** In the place of the environment that the settings name. It is closed at the end. */
  environment?: Environment;
  /** In the place of the base model that the settings name. */
  model?: LoadedModel;
  /** In the place of what the settings say computes: for who only looks after the study. */
  compute?: StudySettings["engine"];
  /** Arms beside those that the settings name, by their id. */
  arms?: Readonly<Record<string, MakeArm>>;
}

/** A study that can be worked on. */
export interface Work {
  folder: string;
  settings: StudySettings;
  /** The environment's name. */
  environment: string;
  /** The base models, by the path that settings name them with; `undefined` is the environment's own. A grid may vary them. */
  engines: ReadonlyMap<string | undefined, Engine>;
  table: readonly PlannedRun[];
  /** What a run starts from: made at the first call, or read where it was made before. */
  base(planned: PlannedRun): Promise<Base>;
  /** All that a run needs. */
  context(planned: PlannedRun): Promise<RunContext>;
  /** How a run trains; `undefined` for an arm of a user's own that only an earlier command had. */
  arm(planned: PlannedRun): Promise<Arm | undefined>;
  /**
   * Trains a run in this process, which has the run's folder to itself; where another one has it, its end is waited for. Only
   * reads where it is done.
   *
   * @throws StoppedError, FileError, LostError; any other error is the run's own
   */
  train(planned: PlannedRun, listener: RunListener): Promise<void>;
  close(): Promise<void>;
}

/**
 * Loads what a study works with.
 * @throws UsageError where the environment, the model and the arms do not fit each other
 */
export async function openWork(
  folder: string,
  settings: StudySettings,
  onEvent: OnEvent,
  parts: StudyParts = {},
): Promise<Work> {
  const environment = parts.environment ?? (await loadEnvironment(settings.environment));
  const engines = new Map<string | undefined, Engine>();
  const opened: Closeable[] = [];
  const close = async () => {
    await environment.close();
    for (const each of opened) await each.close();
    // What the first runs on, the others run on, too.
    for (const engine of [...engines.values()].reverse()) await engine.close();
  };
  try {
    checkEnvironment(environment, settings);
    if (parts.model && settings.grid?.model)
      throw new UsageError("a base model was given, and grid.model names others: leave out one of them");
    const arms = await armsOf(settings.arms, parts.arms, opened);
    const compute = parts.compute ?? settings.engine;
    const table = expand(settings, Object.keys(parts.arms ?? {}));
    for (const { settings: own } of table) {
      if (engines.has(own.model)) continue;
      if (own.model) onEvent({ kind: "stage", detail: `Loading ${own.model}` });
      const [first] = engines.values();
      engines.set(
        own.model,
        await openBaseModel(environment, { ...own, engine: compute }, parts.model, first),
      );
    }
    const engineOf = ({ settings: { model } }: PlannedRun) => engines.get(model)!;
    for (const planned of firstOf(table))
      if (!Object.hasOwn(builtIn, planned.arm))
        await tryArm(arms[planned.arm]!, standIns(planned, engineOf(planned)));
    const baseOf = createBases(folder, { environment, engineOf }, onEvent);
    const armOf = async ({ arm, seed, settings }: PlannedRun, base: Base) => {
      // One of an earlier command is built in where anything of it is still to be made.
      const make = arms[arm] ?? builtIn[arm as ArmId]?.make;
      const { probe, sets } = base;
      const random = randomFor(seed, "arm", arm);
      const text = textMonitorOf(base);
      return make?.({
        ...settings,
        ...{ probe, sets, random, text },
        thought: thoughtMonitorOf(base, environment),
      });
    };
    const contextOf = async (planned: PlannedRun, base: Base): Promise<RunContext> => ({
      ...{ seed: planned.seed, settings: planned.settings.training },
      environment: informedBy(environment, base.answers),
      engine: engineOf(planned).with({
        adapter: planned.settings.adapter,
        memoryMB: planned.settings.training.memoryMB,
      }),
      arm: (await armOf(planned, base))!,
      probe: base.probe,
      heldOutProbes: base.heldOutProbes,
      tracer: base.tracer,
      readThought: base.thought && textScorer(base.thought.classifier),
    });
    return {
      ...{ folder, settings, engines, table, close },
      environment: environment.name,
      base: baseOf,
      async context(planned) {
        return contextOf(planned, await baseOf(planned));
      },
      async arm(planned) {
        return armOf(planned, await baseOf(planned));
      },
      async train(planned, listener) {
        const base = await baseOf(planned);
        const run = runFolder(folder, planned.id, planned.seed);
        const unlock = await lockOf(planned, run, listener);
        try {
          await runToEnd(run, await contextOf(planned, base), listener);
        } finally {
          await unlock();
        }
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** One run of each arm. */
function firstOf(table: readonly PlannedRun[]): PlannedRun[] {
  return [...new Map(table.toReversed().map((run) => [run.arm, run])).values()];
}

/** What has the form of what an arm is made of. */
export function standIns(
  { settings }: Pick<PlannedRun, "settings">,
  { model }: Pick<Engine, "model">,
): ArmParts {
  const none = { sequences: [], labels: [] };
  return {
    ...settings,
    probe: standInProbe(settings.probe, model),
    text: textMonitor(() => 0, 0),
    sets: { fit: none, calibration: none, falsePositiveRate: settings.probe.falsePositiveRate },
    random: randomFor("stand-in arm"),
  };
}

/** One that a worker still has whose command was killed is free after its step; one of another machine, when it is done. */
function lockOf(
  planned: PlannedRun,
  folder: string,
  { onWarning, signal }: RunListener,
): Promise<() => Promise<void>> {
  let told = false;
  return lockWhenFree(folder, ({ message }) => {
    if (!told) onWarning?.(`waits: ${message}`);
    told = true;
    if (signal?.aborted) throw new StoppedError(`stopped before the run ${runName(planned)}`);
  });
}

/**
 * What runs start from: prepared at the first call, once for all runs with the same model and probe. Where a grid varies
 * these, each has a folder of its own.
 */
function createBases(
  folder: string,
  { environment, engineOf }: Pick<BaseContext, "environment"> & { engineOf: (planned: PlannedRun) => Engine },
  onEvent: OnEvent,
) {
  // What a model is asked is shared by all probes that are fitted on it.
  const asked = new Map<Engine, ReturnType<typeof createOnce>>();
  const prepared = new Map<string, Base>();
  return async (planned: PlannedRun): Promise<Base> => {
    const name = baseName(planned);
    const known = prepared.get(name);
    if (known) return known;
    if (!(await isBase(join(folder, name))))
      onEvent({
        kind: "stage",
        detail: `Asking the base model, and fitting a probe on what it did${name && ` (${basename(name)})`}`,
      });
    const onStage = (detail: string) => onEvent({ kind: "stage", detail });
    const engine = engineOf(planned);
    const once = asked.get(engine) ?? createOnce();
    asked.set(engine, once);
    const base = await prepareBase(join(folder, name), {
      ...{ environment, engine, once, onStage },
      settings: planned.settings,
    });
    const { probeAuroc, textBaselineAuroc, hook, positions } = base.summary;
    const shown = (value: number | null) => (value === null ? "undefined" : value.toFixed(3));
    onEvent({
      kind: "stage",
      detail: `Probe at ${hook}, ${positions}: AUROC ${shown(probeAuroc)} (text alone ${shown(textBaselineAuroc)})`,
    });
    const copies = copiesInWords(base.summary);
    if (copies) onEvent({ kind: "stage", detail: copies });
    prepared.set(name, base);
    return base;
  };
}

/** Whether what a run starts from was made before. */
export async function isPrepared(folder: string, planned: PlannedRun): Promise<boolean> {
  return isBase(baseFolder(folder, planned));
}

/** Where what a run starts from is kept. */
export function baseFolder(folder: string, planned: Pick<PlannedRun, "point">): string {
  return join(folder, baseName(planned));
}

/** Where in a study's folder lies what a run starts from. */
function baseName({ point }: Pick<PlannedRun, "point">): string {
  const own = Object.entries(point).filter(
    ([path]) => path.startsWith("probe.") || path === "training.temperature" || path === "model",
  );
  return own.length === 0 ? "" : join("bases", pointName(Object.fromEntries(own)));
}

/** @throws UsageError where the settings ask for what the environment does not have */
function checkEnvironment(environment: Environment, settings: StudySettings): void {
  if (settings.arms.includes("inoculation") && !environment.inoculate)
    throw new UsageError(
      `the arm inoculation does not apply to the environment ${environment.name}, which has no inoculation prompt that its base model knows; leave it out of arms`,
    );
  const reading = settings.arms.find((arm) => thoughtArms.has(arm));
  if (reading !== undefined && !environment.thoughts)
    throw new UsageError(
      `the arm ${reading} reads thoughts alone, and completions of the environment ${environment.name} begin with none; leave it out of arms`,
    );
  for (const { settings: own } of expand(settings))
    for (const family of own.probe.families ?? [])
      if (!environment.families.includes(family))
        throw new UsageError(
          `probe.families: ${JSON.stringify(family)} is no family of ${environment.name}; it has ${environment.families.join(", ")}`,
        );
}

/** @file What a step of a study would cost on devices that nobody has rented yet: training's own loop, over a runtime that computes nothing. */

import { armId } from "../arm/arms.ts";
import { createEngine, type Engine, keptBytes, type Model, type Policy } from "../engine/index.ts";
import { loadEnvironment } from "../environment/load.ts";
import { UsageError } from "../errors.ts";
import {
  aboutModel,
  endTokens,
  isEmbedded,
  type ModelConfig,
  shapesOnly,
  weightCount,
} from "../model/index.ts";
import { shippedModel } from "../prepare/base-model.ts";
import { standInProbe } from "../prepare/index.ts";
import { randomFor } from "../random.ts";
import { type DryRuntime, deviceGroups, type Ledger, type MemoryPeak, startDry } from "../tensor/index.ts";
import { type Arm, type RunContext, startPolicy, train } from "../training/index.ts";
import { expand, type PlannedRun } from "./expand.ts";
import { armsOf, type Closeable } from "./own-arms.ts";
import { type DevicePeaks, devicePeaks, exchangeRates, USABLE } from "./peaks.ts";
import { adviceOn } from "./plan-advice.ts";
import { plannedEnvironment, plannedTokenizer, plannedTracer, unasked } from "./plan-stand-ins.ts";
import { type Plan, type PlannedPart, type PlanPart, type PlanRequest, planParts } from "./plan-types.ts";
import type { StudySettings } from "./settings.ts";
import { standIns } from "./work.ts";

type Account = { ledger: Ledger; peak: MemoryPeak };
/** What was counted in a step, by part. */
type Accounts = Map<PlanPart, Account[]>;

/**
 * Plans a step. Nothing is computed and no weights are read: only a model's `config.json`, or the name of a shape. Nothing is
 * written.
 *
 * @throws UsageError where the model, the device or the arm is not known; where there is no Python with jax; where lengths do
 *   not fit the model's context
 */
export async function planStudy(
  settings: StudySettings,
  { devices, device, arm: asked, ...lengths }: PlanRequest,
  onStage: (detail: string) => void = () => {},
): Promise<Plan> {
  const began = performance.now();
  const peaks = peaksOf(device);
  const planned = plannedRun(settings, asked);
  const { training, adapter, engine: compute, probe: probeSettings } = planned.settings;
  const name = planned.settings.model ?? shippedModel(settings.environment);
  const config = await aboutModel(name).catch((error: Error) => {
    throw new UsageError(error.message);
  });
  const { environment, sizes } = await environmentOf(settings, lengths, config);
  const { dtype = "float32", python, patience } = compute ?? {};
  const weights = weightCount(config);
  const memory = USABLE * peaks.memory;
  // As a run on so many machines chooses them.
  const machines = Math.ceil(devices / peaks.perMachine);
  const kept = keptBytes(dtype, { weights, trained: adapter ? 0 : weights });
  const data =
    compute?.data ?? deviceGroups(machines, { count: devices, copies: 1, memory: devices * memory }, kept);
  onStage(`Compiling for ${devices} x ${peaks.name}, without them`);
  const runtime = await startDry({
    ...{ devices, platform: peaks.platform, device: peaks.name, ends: endTokens(config) },
    ...{ dtype, data, python, patience, memory },
  });
  const opened: Closeable[] = [];
  try {
    const tokenizer = plannedTokenizer(config);
    const model = { name, config, weights: shapesOnly(config), tokenizer };
    // Those of the embedded model's few layers compile in a moment.
    if (!isEmbedded(config))
      runtime.decodeShallow = async (layers, B, C) => {
        const few = { ...config, layers } as ModelConfig;
        const shallow = openPlanned(
          { ...model, config: few, weights: shapesOnly(few) },
          { adapter, runtime },
        );
        const prompts = Array.from({ length: B }, (_, i) => Array<number>(C / 2).fill(1 + i));
        await shallow.reference.sample(prompts, { maxTokens: 2, seed: [] });
        await shallow.close();
      };
    const own = openPlanned(model, { adapter, memoryMB: training.memoryMB, runtime });
    const parts = { ...standIns(planned, own), probe: standInProbe(probeSettings, own.model) };
    const arms = await armsOf([planned.arm], {}, opened);
    const arm = await arms[armId(planned.arm)]!(parts);
    const steps: Accounts[] = [];
    const { engine, watch } = watched(own, runtime, onStage);
    const context: RunContext = {
      ...{ environment, engine, seed: 1, probe: parts.probe },
      arm: unasked(refitted(arm, parts.probe)),
      // The first and the last are evaluated; the one between is a step as most are.
      settings: { ...training, steps: 3, evaluateEvery: 1000 },
      tracer: plannedTracer(tokenizer, sizes, probeSettings.tracer, randomFor("plan")),
    };
    const policy = watch(await startPolicy(context));
    for await (const _ of train(context, policy)) steps.push(engine.take());
    const [, step, evaluated] = steps as [Accounts, Accounts, Accounts];
    const costs = Object.fromEntries(
      planParts.map((part) => [part, partOf(step.get(part) ?? [], peaks, { count: devices, data, dtype })]),
    ) as Plan["step"];
    const total = sumOfParts(Object.values(costs));
    const last = sumOfParts(
      [...evaluated].map(([, some]) => partOf(some, peaks, { count: devices, data, dtype })),
    );
    const trained = own.trainable;
    const { memory: bytes, ...rest } = peaks;
    const plan: Omit<Plan, "advice"> = {
      version: 1,
      model: { name, weights, trained, context: config.context },
      ...{ arm: armId(planned.arm), environment: environment.name },
      devices: { count: devices, data, memory: bytes, ...rest },
      ...{ dtype, memoryMB: own.memoryMB },
      rollouts: {
        ...{ prompts: training.prompts, each: training.rollouts },
        ...{ promptTokens: sizes.prompt, completionTokens: sizes.completion + 1 },
      },
      ...{ memory: memoryOf(steps, peaks), step: costs, total, evaluation: difference(last, total) },
      compiled: { programs: runtime.programs, seconds: (performance.now() - began) / 1000 },
    };
    const advice = adviceOn(plan, {
      isAdapter: adapter !== undefined,
      takesAdapter: !["gpt2", "probeward-character"].includes(config.architecture),
      perMachine: peaks.perMachine,
    });
    return { ...plan, advice };
  } finally {
    for (const each of opened) await each.close();
    await runtime.close();
  }
}

function peaksOf(device: string): DevicePeaks {
  const peaks = Object.hasOwn(devicePeaks, device) ? devicePeaks[device] : undefined;
  if (peaks) return peaks;
  throw new UsageError(
    `--device: there is no ${JSON.stringify(device)} here; there are ${Object.keys(devicePeaks).join(", ")}`,
  );
}

/** The first run of an arm. */
function plannedRun(settings: StudySettings, asked: string | undefined): PlannedRun {
  const table = expand(settings);
  const found = table.find(({ arm }) => asked === undefined || arm === asked);
  if (found) {
    // Of a module, the path is wanted and not the id.
    return { ...found, arm: settings.arms.find((one) => armId(one) === found.arm)! };
  }
  const ids = [...new Set(table.map(({ arm }) => arm))];
  throw new UsageError(`--arm: the study has no arm ${JSON.stringify(asked)}; it has ${ids.join(", ")}`);
}

async function environmentOf(
  settings: StudySettings,
  { prompt, completion }: Pick<PlanRequest, "prompt" | "completion">,
  { context }: ModelConfig,
) {
  const real = await loadEnvironment(settings.environment);
  await real.close();
  const sizes = {
    prompt: prompt ?? real.maxPromptLength,
    completion: completion ?? real.maxCompletionLength,
  };
  const needed = sizes.prompt + (sizes.completion + 1) * (real.episodes?.turns ?? 1);
  if (needed > context)
    throw new UsageError(
      `a prompt of ${sizes.prompt} tokens and what follows are ${needed}, and the model reads ${context}: give shorter ones (--prompt, --completion)`,
    );
  return { environment: plannedEnvironment(real, sizes), sizes };
}

function openPlanned(...[model, options]: Parameters<typeof createEngine>): Engine {
  const { adapter, ...rest } = options!;
  try {
    return createEngine(model, rest).with({ ...rest, adapter });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** An arm that fits its probe again has passes of its own now and then, which are not planned. */
function refitted({ refit, ...arm }: Arm, probe: RunContext["probe"]): Arm {
  return refit ? refit.arm(probe) : arm;
}

/** The verbs of models, as parts of a step; what else is called is of no account. */
const VERBS: Readonly<Record<string, PlanPart>> = {
  ...{ sample: "sampling", forwardBackward: "gradient", optimStep: "optimizer" },
};

/** An engine that counts what each verb takes. */
function watched(own: Engine, runtime: DryRuntime, onStage: (detail: string) => void) {
  let accounts: Accounts = new Map();
  const told = new Set<string>();
  const watch = <T extends Model | Policy>(model: T, scoring: PlanPart): T =>
    new Proxy(model, {
      get(target, key) {
        const value = Reflect.get(target, key, target) as unknown;
        const part = key === "forward" ? scoring : VERBS[String(key)];
        if (typeof value !== "function") return value;
        if (!part) return value.bind(target);
        return async (...args: unknown[]) => {
          if (!told.has(part)) onStage(`Compiling: ${part}`);
          told.add(part);
          const result: unknown = await value.apply(target, args);
          accounts.set(part, [...(accounts.get(part) ?? []), runtime.account()]);
          return result;
        };
      },
    });
  const engine = {
    ...{ info: own.info, model: own.model, tokenizer: own.tokenizer },
    ...{ trains: own.trains, trainable: own.trainable, memoryMB: own.memoryMB },
    reference: watch(own.reference, "scoring on the reference"),
    createPolicy: own.createPolicy.bind(own),
    with: own.with.bind(own),
    close: own.close.bind(own),
    /** What was counted since it was asked for the last time. */
    take() {
      const taken = accounts;
      accounts = new Map();
      return taken;
    },
  };
  return { engine, watch: (policy: Policy) => watch(policy, "scoring on the policy") };
}

/** What some accounts come to. */
function partOf(
  accounts: readonly Account[],
  peaks: DevicePeaks,
  { count, data, dtype }: { count: number; data: number; dtype: Plan["dtype"] },
): PlannedPart {
  const { operations, bandwidth } = peaks;
  const { within, outside } = exchangeRates(peaks, count, data);
  const part = { ...nothing };
  for (const { ledger, peak } of accounts) {
    part.memory = Math.max(part.memory, peak.total);
    for (const [measured, times] of ledger) {
      const least = measured.inputs + measured.outputs;
      const seconds = Math.max(
        measured.operations / operations[dtype],
        least / bandwidth,
        (measured.exchanged - measured.outside) / within,
        measured.outside / outside,
      );
      part.runs += times;
      part.operations += times * measured.operations;
      part.movedAtLeast += times * least;
      part.moved += times * measured.moved;
      part.exchanged += times * measured.exchanged;
      part.outside += times * measured.outside;
      part.secondsAtLeast += times * seconds;
    }
  }
  return part;
}

const nothing: PlannedPart = {
  ...{
    operations: 0,
    movedAtLeast: 0,
    moved: 0,
    exchanged: 0,
    outside: 0,
    secondsAtLeast: 0,
    runs: 0,
    memory: 0,
  },
};

function sumOfParts(parts: readonly PlannedPart[]): PlannedPart {
  const sum = { ...nothing };
  for (const part of parts) {
    for (const key of Object.keys(sum) as (keyof PlannedPart)[]) if (key !== "memory") sum[key] += part[key];
    sum.memory = Math.max(sum.memory, part.memory);
  }
  return sum;
}

function difference(all: PlannedPart, some: PlannedPart): PlannedPart {
  const rest = { ...all };
  for (const key of Object.keys(rest) as (keyof PlannedPart)[])
    if (key !== "memory") rest[key] = all[key] - some[key];
  return rest;
}

function memoryOf(steps: readonly Accounts[], { memory }: DevicePeaks): Plan["memory"] {
  const peaks = steps.flatMap((step) =>
    [...step].flatMap(([part, accounts]) => accounts.map(({ peak }) => ({ part, peak }))),
  );
  const { part, peak } = peaks.reduce((most, one) => (one.peak.total > most.peak.total ? one : most));
  const { weights, moments, gradients, caches, activations } = peak.kept;
  return {
    ...{ total: peak.total, fits: peak.total <= USABLE * memory, during: part },
    kinds: {
      ...{ weights, moments, gradients, caches },
      activations: activations + peak.results,
      temporaries: peak.temporaries,
    },
  };
}

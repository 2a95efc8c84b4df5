/** @file A model in training: it owns its weights, its gradient and its optimizer's state. */

import {
  initialAdapter,
  isEmbedded,
  saveAdapter,
  saveModel,
  splitWeights,
  trainableShapes,
  type Weights,
  weightsBefore,
} from "../model/index.ts";
import { randomFor } from "../random.ts";
import { adamwStep, descend, type Optimized } from "./adamw.ts";
import { addGradient } from "./gradient.ts";
import { gradientProducts } from "./gradient-products.ts";
import { type Running, RunningModel } from "./model.ts";
import { readState, writeState } from "./state.ts";
import type {
  Datum,
  GradientProducts,
  GradientProductsRequest,
  Loss,
  LossMetrics,
  OptimParams,
  Policy,
  PolicyOptions,
} from "./types.ts";
import { fetchWeights, freeWeights, type Placed, place, usedAs, zerosLike } from "./weights.ts";

/**
 * A fresh policy.
 *
 * @param reference the weights that it starts from, and shares as far as it does not train them
 * @param own the same in this process
 * @throws Error where no weights are left to train
 */
export async function freshPolicy(
  running: Running,
  reference: Placed,
  own: Weights,
  { seed, frozenThrough }: PolicyOptions,
): Promise<Policy> {
  const { config, programs } = running;
  const frozen = frozenNames(running, frozenThrough);
  const weights = await place(programs.runtime, initialWeights(running, own, seed));
  const moments = async () => zerosLike(programs.runtime, splitWeights(config, weights).trained);
  const state = { step: 0, m: await moments(), v: await moments() };
  return new RunningPolicy(running, reference, named({ weights, state }), frozen);
}

class RunningPolicy extends RunningModel implements Policy {
  /** What is trained, all weights or the adapter, and how. What is frozen is the reference's own. */
  #trained: Optimized;
  /** What was gathered since the last step; nothing where nothing was. */
  #gradient: Placed | undefined;
  readonly #reference: Placed;
  readonly #frozen: readonly string[];

  constructor(running: Running, reference: Placed, trained: Optimized, frozen: readonly string[]) {
    super(running, async () => ({ ...reference, ...this.#trained.weights }));
    this.#reference = reference;
    this.#trained = trained;
    this.#frozen = frozen;
  }

  get updates(): number {
    return this.#trained.state.step;
  }

  async forwardBackward(data: readonly Datum[], loss: Loss): Promise<LossMetrics> {
    const weights = { ...this.#reference, ...this.#trained.weights };
    const { gradient, metrics } = await addGradient(this.running, weights, data, loss, this.#take());
    this.#gradient = gradient;
    return metrics;
  }

  async optimStep(params: OptimParams): Promise<{ gradNorm: number }> {
    const { programs } = this.running;
    const gathered = this.#take() ?? (await zerosLike(programs.runtime, this.#trained.weights));
    const moving = Object.entries(gathered).filter(([name]) => !this.#frozen.includes(name));
    const gradient = Object.fromEntries(moving);
    try {
      if (params.kind === "sgd") {
        const moved = await descend(programs, this.#trained.weights, gradient, params.length);
        this.#trained = named({ ...this.#trained, weights: moved.weights });
        return { gradNorm: moved.gradNorm };
      }
      const { learningRate, maxGradNorm, weightDecay } = params;
      const options = defined({ maxGradNorm, weightDecay });
      const step = await adamwStep(programs, this.#trained, gradient, learningRate, options);
      this.#trained = named({ weights: step.weights, state: step.state });
      return { gradNorm: step.gradNorm };
    } finally {
      freeWeights(programs.runtime, gathered);
    }
  }

  async gradientProducts(request: GradientProductsRequest): Promise<GradientProducts> {
    const { programs } = this.running;
    const weights = { ...this.#reference, ...this.#trained.weights };
    return gradientProducts(
      programs,
      async ({ data, loss }) => {
        const options = { ...this.running, rows: request.rows };
        const { gradient } = await addGradient(options, weights, data, loss, undefined);
        if (!gradient) return undefined;
        const isFrozen = (name: string) => this.#frozen.includes(name);
        const [still, moving] = [true, false].map((frozen) =>
          Object.fromEntries(Object.entries(gradient).filter(([name]) => isFrozen(name) === frozen)),
        );
        freeWeights(programs.runtime, still!);
        return moving;
      },
      request,
    );
  }

  async saveState(folder: string): Promise<Record<string, string>> {
    const { runtime } = this.running.programs;
    const { weights, state } = this.#trained;
    return writeState(folder, runtime, weights, state);
  }

  async loadState(folder: string, updates: number): Promise<void> {
    const { runtime } = this.running.programs;
    const { trained, moments } = await readState(folder, this.running.config);
    this.#free();
    this.#trained = named({
      weights: await place(runtime, trained),
      state: { step: updates, m: await place(runtime, moments.m), v: await place(runtime, moments.v) },
    });
  }

  async saveWeights(folder: string): Promise<void> {
    const { config, name, programs } = this.running;
    const fetched = () => fetchWeights(programs.runtime, this.#trained.weights);
    if (isEmbedded(config)) return saveModel(folder, { config, weights: await fetched() });
    if (config.adapter) return saveAdapter(folder, config, await fetched(), name);
    throw new Error(
      `${folder}: all weights of a checkpoint were trained, and it is not written as one; they are in model.safetensors of the run's last checkpoint, by its own names`,
    );
  }

  async close(): Promise<void> {
    this.#free();
    this.#trained = { weights: {}, state: { step: 0, m: {}, v: {} } };
  }

  /** What was gathered. It is nobody's until it is put back, so that what fails midway leaves none behind. */
  #take(): Placed | undefined {
    const gathered = this.#gradient;
    this.#gradient = undefined;
    return gathered;
  }

  #free(): void {
    const { weights, state } = this.#trained;
    for (const placed of [weights, state.m, state.v, this.#gradient ?? {}])
      freeWeights(this.running.programs.runtime, placed);
    this.#gradient = undefined;
  }
}

/** The same, each tensor said to be what it is. */
function named(optimized: Optimized): Optimized {
  usedAs("weights", optimized.weights);
  for (const moments of [optimized.state.m, optimized.state.v]) usedAs("moments", moments);
  return optimized;
}

/** A copy of all weights, or a fresh adapter. */
function initialWeights({ config }: Running, reference: Weights, seed: number): Weights {
  if (!isEmbedded(config) && config.adapter)
    return initialAdapter(config, randomFor(seed, "adapter"), reference);
  return splitWeights(config, reference).trained;
}

/** @throws Error where no weights are left to train */
function frozenNames({ config }: Running, frozenThrough: string | undefined): string[] {
  if (frozenThrough === undefined) return [];
  const trainable = trainableShapes(config);
  const names = weightsBefore(config, frozenThrough).filter((name) => name in trainable);
  if (names.length === Object.keys(trainable).length)
    throw new Error(
      `all weights are frozen: ${frozenThrough} depends on every one. Read the probe at an earlier layer (probe.hooks)`,
    );
  return names;
}

/** Without what is undefined, so that defaults apply. */
function defined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

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
import { floats } from "../tensor/index.ts";
import { type AdamWState, createAdamW } from "./adamw.ts";
import { addGradient } from "./gradient.ts";
import { gradientProducts } from "./gradient-products.ts";
import { LocalModel, type Running } from "./model.ts";
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

export class LocalPolicy extends LocalModel implements Policy {
  /** What is trained: all weights, or the adapter. What is frozen is the reference's own. */
  #trained: Weights;
  #optimizer: AdamWState;
  /** What was gathered since the last step; nothing where nothing was. */
  #gradient: Weights | undefined;
  readonly #reference: Weights;
  readonly #frozen: readonly string[];

  /** @throws Error where no weights are left to train */
  constructor(running: Running, reference: Weights, { seed, frozenThrough }: PolicyOptions) {
    const trained = initialWeights(running, reference, seed);
    super(running, { ...reference, ...trained });
    this.#reference = reference;
    this.#trained = trained;
    this.#optimizer = createAdamW(trained).state;
    this.#frozen = frozenNames(running, frozenThrough);
  }

  get updates(): number {
    return this.#optimizer.step;
  }

  async forwardBackward(data: readonly Datum[], loss: Loss): Promise<LossMetrics> {
    this.#gradient ??= zerosLike(this.#trained);
    return addGradient(this.running, this.weights, data, loss, this.#gradient);
  }

  async optimStep(params: OptimParams): Promise<{ gradNorm: number }> {
    const gradient = this.#gradient ?? zerosLike(this.#trained);
    for (const name of this.#frozen) gradient[name]!.data.fill(0);
    if (params.kind === "sgd") {
      const gradNorm = descend(this.#trained, gradient, params.length);
      if (!params.keepGradient) this.#gradient = undefined;
      return { gradNorm };
    }
    const { learningRate, maxGradNorm, weightDecay } = params;
    const optimizer = createAdamW(this.#trained, defined({ maxGradNorm, weightDecay }), this.#optimizer);
    this.#gradient = undefined;
    return optimizer.step(gradient, learningRate);
  }

  async gradientProducts(request: GradientProductsRequest): Promise<GradientProducts> {
    return gradientProducts(async ({ data, loss }) => {
      const gradient = zerosLike(this.#trained);
      await addGradient(this.running, this.weights, data, loss, gradient);
      for (const name of this.#frozen) gradient[name]!.data.fill(0);
      return gradient;
    }, request);
  }

  async saveState(folder: string): Promise<Record<string, string>> {
    return writeState(folder, this.#trained, this.#optimizer);
  }

  async loadState(folder: string, updates: number): Promise<void> {
    const { trained, moments } = await readState(folder, this.running.config);
    this.#trained = trained;
    this.#optimizer = { step: updates, ...moments };
    this.#gradient = undefined;
    this.weights = { ...this.#reference, ...trained };
  }

  async saveWeights(folder: string): Promise<void> {
    const { config, name } = this.running;
    if (isEmbedded(config)) return saveModel(folder, { config, weights: this.#trained });
    if (config.adapter) return saveAdapter(folder, config, this.#trained, name);
    throw new Error(
      `${folder}: all weights of a checkpoint were trained, and it is not written as one; they are in model.safetensors of the run's last checkpoint, by its own names`,
    );
  }

  async close(): Promise<void> {
    this.#trained = {};
    this.weights = {};
  }
}

/** A copy of all weights, or a fresh adapter. */
function initialWeights({ config }: Running, reference: Weights, seed: number): Weights {
  if (!isEmbedded(config) && config.adapter) return initialAdapter(config, randomFor(seed, "adapter"));
  const copies = Object.entries(splitWeights(config, reference).trained);
  return Object.fromEntries(copies.map(([name, one]) => [name, { ...one, data: one.data.slice() }]));
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

function zerosLike(weights: Weights): Weights {
  return Object.fromEntries(Object.entries(weights).map(([name, { shape }]) => [name, floats(shape)]));
}

/** Moves weights against a gradient by a Euclidean length. @returns the gradient's norm; where it is 0 nothing moves */
function descend(weights: Weights, gradient: Weights, length: number): number {
  const squares = Object.values(gradient).reduce(
    (sum, { data }) => data.reduce((own, x) => own + x * x, sum),
    0,
  );
  const norm = Math.sqrt(squares);
  if (!Number.isFinite(norm)) throw new Error("sgd: the gradient is not finite");
  if (norm === 0) return 0;
  for (const [name, { data }] of Object.entries(weights)) {
    const along = gradient[name]!.data;
    for (let i = 0; i < data.length; i++) data[i]! -= (length / norm) * along[i]!;
  }
  return norm;
}

/** Without what is undefined, so that defaults apply. */
function defined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

/** @file The engine: a model over a runtime, its frozen reference, and policies that start from it. */

import {
  adapterOff,
  hookNames,
  isEmbedded,
  type Keeping,
  type LoadedModel,
  loadModel,
  type Tokenizer,
  trainableShapes,
  vocabularySize,
  weightCount,
  weightsSha256,
  withAdapter,
} from "../model/index.ts";
import { type RuntimeInfo, sizeOf } from "../tensor/index.ts";
import { memoryFor } from "./memory.ts";
import { type Running, RunningModel } from "./model.ts";
import { freshPolicy } from "./policy.ts";
import { ProgramStore } from "./programs.ts";
import type { Engine, EngineOptions, Model, ModelInfo, Policy, PolicyOptions } from "./types.ts";
import { freeWeights, type Placed, place, usedAs } from "./weights.ts";

/**
 * Opens a model's folder or its `.gguf` file. Close the engine when done.
 *
 * @param options `weights` says how a checkpoint's matrices are kept (see `Keeping`)
 *
 * @throws Error naming the file that is missing or malformed, or what the adapter does not fit
 */
export async function openEngine(
  path: string,
  { weights, ...options }: EngineOptions & { weights?: Keeping | undefined } = {},
): Promise<Engine> {
  return createEngine({ name: path, ...(await loadModel(path, weights)) }, options);
}

/** An engine over a model that is loaded. Close it when done. @throws Error where the model takes no such adapter */
export function createEngine(model: LoadedModel, options: EngineOptions = {}): Engine {
  const { programsOf } = options;
  const programs =
    programsOf instanceof RuntimeEngine ? programsOf.sharePrograms() : new ProgramStore(options.runtime);
  // The embedded model's weights are float32, and a policy that trains all of them starts as the reference.
  const placed = once(async () =>
    usedAs("weights", await place(programs.runtime, model.weights, !isEmbedded(model.config))),
  );
  const owned = [placed];
  return new RuntimeEngine(
    { model: describe(model), loaded: model, programs, owned, close: closing(programs, owned) },
    options,
  );
}

/** What engines over one model share. */
interface Shared {
  model: ModelInfo;
  loaded: LoadedModel;
  programs: ProgramStore;
  /** The model's own weights, handed over when they are first needed, and then those of adapters that change nothing. */
  owned: Once<Placed>[];
  /** Frees all of it; again, it does nothing. */
  close: () => Promise<void>;
}

class RuntimeEngine implements Engine {
  readonly info: RuntimeInfo;
  readonly model: ModelInfo;
  readonly tokenizer: Tokenizer;
  readonly trains: "weights" | "adapter";
  readonly trainable: number;
  readonly memoryMB: number;
  readonly reference: Model;
  readonly #shared: Shared;
  readonly #running: Running;
  /** The reference's, which policies share as far as they do not train them. */
  readonly #weights: () => Promise<Placed>;

  constructor(shared: Shared, { adapter, ...options }: EngineOptions) {
    const { model, loaded, programs, owned } = shared;
    this.info = programs.runtime.info;
    this.model = model;
    this.tokenizer = loaded.tokenizer;
    this.trains = adapter ? "adapter" : "weights";
    this.#shared = shared;
    const config = adapter ? withAdapter(loaded.config, adapter) : loaded.config;
    this.trainable = Object.values(trainableShapes(config)).reduce((sum, shape) => sum + sizeOf(shape), 0);
    const weights = weightCount(loaded.config);
    this.memoryMB = options.memoryMB ?? memoryFor(this.info, { weights, trained: this.trainable });
    const { memoryMB } = this;
    this.#running = { name: model.name, config, programs, memoryMB };
    const off = once(async () =>
      usedAs("weights", await place(programs.runtime, adapterOff(config, loaded.weights))),
    );
    owned.push(off);
    this.#weights = async () => ({ ...(await owned[0]!.get()), ...(await off.get()) });
    this.reference = new RunningModel(this.#running, this.#weights);
  }

  async createPolicy(options: PolicyOptions): Promise<Policy> {
    return freshPolicy(this.#running, await this.#weights(), this.#shared.loaded.weights, options);
  }

  with(options: EngineOptions): Engine {
    return new RuntimeEngine(this.#shared, options);
  }

  /** Its programs, for another engine. */
  sharePrograms(): ProgramStore {
    return this.#shared.programs.shared();
  }

  async close(): Promise<void> {
    await this.#shared.close();
  }
}

/** What is made when it is first asked for. */
interface Once<T> {
  get: () => Promise<T>;
  /** Nothing where nobody asked. */
  made: () => Promise<T> | undefined;
}

function once<T>(make: () => Promise<T>): Once<T> {
  let made: Promise<T> | undefined;
  return { get: () => (made ??= make()), made: () => made };
}

function closing(programs: ProgramStore, owned: readonly Once<Placed>[]): () => Promise<void> {
  let closed: Promise<void> | undefined;
  const close = async () => {
    for (const placed of owned) freeWeights(programs.runtime, (await placed.made()) ?? {});
    await programs.close();
  };
  return () => (closed ??= close());
}

function describe({ name = "", config, weights }: LoadedModel): ModelInfo {
  let sha256: string | undefined;
  return {
    name,
    get sha256() {
      // Of a large model it takes seconds, and not everyone asks.
      sha256 ??= weightsSha256(weights);
      return sha256;
    },
    layers: config.layers,
    width: config.width,
    context: config.context,
    vocabulary: vocabularySize(config),
    hooks: hookNames(config),
    isCentred: !isEmbedded(config) && config.norm.kind === "layer",
  };
}

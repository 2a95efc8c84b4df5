/** @file The engine: a model of this process, its frozen reference, and policies that start from it. */

import {
  adapterOff,
  hookNames,
  isEmbedded,
  type LoadedModel,
  loadModel,
  type Tokenizer,
  trainableShapes,
  vocabularySize,
  type Weights,
  weightsSha256,
  withAdapter,
} from "../model/index.ts";
import { sizeOf, threads } from "../tensor/index.ts";
import { versions } from "../versions.ts";
import { LocalModel, type Running } from "./model.ts";
import { LocalPolicy } from "./policy.ts";
import { ProgramStore } from "./programs.ts";
import type { Engine, EngineInfo, EngineOptions, Model, ModelInfo, Policy, PolicyOptions } from "./types.ts";

/**
 * Opens a model's folder or its `.gguf` file. Close the engine when done.
 *
 * @throws Error naming the file that is missing or malformed, or what the adapter does not fit
 */
export async function openEngine(path: string, options: EngineOptions = {}): Promise<Engine> {
  return createEngine({ name: path, ...(await loadModel(path)) }, options);
}

/** An engine over a model that is loaded. Close it when done. @throws Error where the model takes no such adapter */
export function createEngine(model: LoadedModel, options: EngineOptions = {}): Engine {
  return new LocalEngine(describe(model), model, new ProgramStore(), options);
}

class LocalEngine implements Engine {
  readonly info: EngineInfo;
  readonly model: ModelInfo;
  readonly tokenizer: Tokenizer;
  readonly trains: "weights" | "adapter";
  readonly trainable: number;
  readonly reference: Model;
  readonly #loaded: LoadedModel;
  readonly #running: Running;
  /** The reference's, which policies share as far as they do not train them. */
  readonly #weights: Weights;

  constructor(model: ModelInfo, loaded: LoadedModel, programs: ProgramStore, options: EngineOptions) {
    const { adapter, memoryMB } = options;
    this.info = {
      runtime: "onnxruntime",
      versions: versions(["onnxruntime-node", "@jax-js/jax"]).of,
      threads: threads(),
    };
    this.model = model;
    this.tokenizer = loaded.tokenizer;
    this.trains = adapter ? "adapter" : "weights";
    this.#loaded = loaded;
    const config = adapter ? withAdapter(loaded.config, adapter) : loaded.config;
    this.trainable = Object.values(trainableShapes(config)).reduce((sum, shape) => sum + sizeOf(shape), 0);
    this.#running = { name: model.name, config, programs, memoryMB };
    this.#weights = { ...loaded.weights, ...adapterOff(config) };
    this.reference = new LocalModel(this.#running, this.#weights);
  }

  async createPolicy(options: PolicyOptions): Promise<Policy> {
    return new LocalPolicy(this.#running, this.#weights, options);
  }

  with(options: EngineOptions): Engine {
    return new LocalEngine(this.model, this.#loaded, this.#running.programs, options);
  }

  async close(): Promise<void> {
    await this.#running.programs.close();
  }
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
    parameters: Object.values(weights).reduce((sum, { data }) => sum + data.length, 0),
    layers: config.layers,
    width: config.width,
    context: config.context,
    vocabulary: vocabularySize(config),
    hooks: hookNames(config),
    isCentred: !isEmbedded(config) && config.norm.kind === "layer",
  };
}

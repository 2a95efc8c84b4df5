/** @file Weights that are run: sampled from, and read. */

import type { ModelConfig } from "../model/index.ts";
import { RunningDecoder } from "./decoder.ts";
import { forward } from "./forward.ts";
import type { ProgramStore } from "./programs.ts";
import { sample } from "./sample.ts";
import type {
  Decoder,
  Follower,
  ForwardOptions,
  ForwardOutput,
  Model,
  SampledSequence,
  SamplingParams,
  Sequence,
} from "./types.ts";
import type { Placed } from "./weights.ts";

/** What an engine's models are run with. */
export interface Running {
  /** What the model was loaded from. */
  name: string;
  /** With the adapter, where policies train one: one program then serves policy and reference. */
  config: ModelConfig;
  programs: ProgramStore;
  memoryMB: number;
}

export class RunningModel implements Model {
  protected readonly running: Running;
  readonly #weights: () => Promise<Placed>;

  /** @param weights those that it has when it is asked */
  constructor(running: Running, weights: () => Promise<Placed>) {
    this.running = running;
    this.#weights = weights;
  }

  async sample(
    prompts: readonly (readonly number[])[],
    params: SamplingParams,
    follower?: Follower,
  ): Promise<SampledSequence[]> {
    const { config, programs, memoryMB } = this.running;
    return sample(config, programs, await this.#weights(), prompts, { ...params, memoryMB }, follower);
  }

  async decoder(temperature = 1): Promise<Decoder> {
    const { config, programs, memoryMB } = this.running;
    return new RunningDecoder(config, programs, await this.#weights(), { temperature, memoryMB });
  }

  async forward(sequences: readonly Sequence[], options: ForwardOptions = {}): Promise<ForwardOutput[]> {
    const { config, programs, memoryMB } = this.running;
    return forward(config, programs, await this.#weights(), sequences, { ...options, memoryMB });
  }
}

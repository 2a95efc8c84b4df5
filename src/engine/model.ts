/** @file Weights in this process that are run: sampled from, and read. */

import type { ModelConfig, Weights } from "../model/index.ts";
import { forward } from "./forward.ts";
import type { ProgramStore } from "./programs.ts";
import { hookOf, readActivations } from "./read.ts";
import { sample } from "./sample.ts";
import type {
  ForwardOptions,
  ForwardOutput,
  Model,
  SampledSequence,
  SamplingParams,
  Sequence,
} from "./types.ts";

/** What an engine's models are run with. */
export interface Running {
  /** What the model was loaded from. */
  name: string;
  /** With the adapter, where policies train one: one program then serves policy and reference. */
  config: ModelConfig;
  programs: ProgramStore;
  memoryMB: number | undefined;
}

export class LocalModel implements Model {
  protected readonly running: Running;
  protected weights: Weights;

  constructor(running: Running, weights: Weights) {
    this.running = running;
    this.weights = weights;
  }

  async sample(prompts: readonly (readonly number[])[], params: SamplingParams): Promise<SampledSequence[]> {
    return sample(this.running.config, this.running.programs, this.weights, prompts, params);
  }

  async forward(
    sequences: readonly Sequence[],
    { reads = [], ...options }: ForwardOptions = {},
  ): Promise<ForwardOutput[]> {
    const { config, programs, memoryMB } = this.running;
    // In one order, so that a program serves all that reads there.
    const hooks = [...new Set(reads.map(hookOf))].sort();
    return forward(
      config,
      programs,
      this.weights,
      sequences,
      { ...options, hooks, memoryMB },
      (sequence, { logprobs, entropies, activations }) => ({
        logprobs,
        entropies,
        reads: reads.map((read) => readActivations(read, sequence, activations[hookOf(read)]!, config.width)),
      }),
    );
  }
}

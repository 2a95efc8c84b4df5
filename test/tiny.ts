/** @file A tiny model with its environment, for tests that train for real and end in a second. */

import { createEngine, type EngineOptions, type Sequence } from "../src/engine/index.ts";
import type { Environment, Task } from "../src/environment/types.ts";
import {
  type CharacterConfig,
  CharacterTokenizer,
  type DecoderConfig,
  initialWeights,
  type LoadedModel,
  type Weights,
  weightShapes,
} from "../src/model/index.ts";
import type { Probe } from "../src/probe/types.ts";
import { normal, randomFor } from "../src/random.ts";
import { floats } from "../src/tensor/index.ts";
import { type RunContext, trainingSettingsSchema } from "../src/training/index.ts";
import tinyEnvironment from "./tiny-environment.ts";

export { tinyEnvironment };

export const tinyConfig: CharacterConfig = {
  architecture: "probeward-character",
  alphabet: "abcx?",
  context: 16,
  layers: 1,
  heads: 2,
  width: 16,
  hidden: 32,
};

/** A Llama with the tiny environment's six tokens. */
export const tinyLlama: DecoderConfig = {
  architecture: "llama",
  ...{ vocabulary: 6, context: 16, layers: 1, heads: 4, keyValueHeads: 2, headDim: 4, width: 16, hidden: 24 },
  norm: { kind: "rms", epsilon: 1e-5 },
  rotary: { frequencies: [1, 0.1], magnitude: 1 },
  mlp: "gated-silu",
  tied: false,
  biases: { queryKeyValue: false, attentionOut: false, mlp: false },
  queryKeyNorm: false,
  endTokens: [0],
};

export function tinyLlamaWeights(): Weights {
  const random = randomFor("decoder");
  const tensors = Object.entries(weightShapes(tinyLlama)).map(([name, shape]) => {
    const tensor = floats(shape);
    tensor.data.set(tensor.data.map(() => (name.includes("norm") ? 1 : 0) + 0.25 * normal(random)));
    return [name, tensor];
  });
  return Object.fromEntries(tensors);
}

/** The embedded model with random weights. */
export const tinyModel: LoadedModel = {
  config: tinyConfig,
  weights: initialWeights(tinyConfig, randomFor("tiny model")),
  tokenizer: new CharacterTokenizer(tinyConfig.alphabet),
};

/** Its programs serve all tests of a file, and go with it. */
const engine = createEngine(tinyModel);

/** A Llama over the tiny environment's tokens. */
export function tinyLlamaEngine(options?: EngineOptions) {
  const { tokenizer } = tinyModel;
  return createEngine(
    { name: "tiny/llama", config: tinyLlama, weights: tinyLlamaWeights(), tokenizer },
    options,
  );
}

export const tinyHook = "blocks.0.hook_resid_post";

/** What a run of a few steps needs. The probe is arbitrary: it looks along one direction. */
export function tinyContext(overrides: Partial<RunContext> = {}): RunContext {
  const environment = tinyEnvironment() as Environment;
  const { tokenizer } = engine;
  const probe: Probe = {
    kind: "logistic",
    tap: { hook: tinyHook, positions: "completion", pool: "mean" },
    weight_D: Float32Array.from({ length: tinyConfig.width }, (_, d) => Math.cos(d)),
    bias: 0.1,
    threshold: 0,
  };
  const sequence = (task: Task, text: string): Sequence => {
    const prompt = tokenizer.encode(task.prompt);
    return { tokens: [...prompt, ...tokenizer.encode(text), 0], promptLength: prompt.length };
  };
  const random = randomFor("tiny tracer");
  const tasks = Array.from({ length: 24 }, (_, i) => ({
    ...(environment.sample("test", random) as Task),
    id: `tracer ${i}`,
  }));
  return {
    environment,
    engine,
    arm: { terms: [] },
    seed: 1,
    settings: trainingSettingsSchema.parse({
      steps: 4,
      prompts: 4,
      rollouts: 4,
      learningRate: 0.01,
      warmupSteps: 0,
      evaluateEvery: 2,
      // Its probe looks along one direction of a random model.
      alarms: "off",
      checkpointEvery: 2,
    }),
    probe,
    tracer: {
      sequences: tasks.map((task, i) => sequence(task, i % 2 === 0 ? "xx" : "a")),
      misbehaving: tasks.map((_, i) => i % 2 === 0),
      tasks: tasks.map(({ id }) => id),
    },
    ...overrides,
  };
}

/** @file Engines over XLA: the contract, and gradients of whole models against ONNX Runtime's. */

import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyLlama, tinyLlamaEngine, tinyLlamaWeights } from "../../test/tiny.ts";
import { compileQuickly, onXla } from "../../test/xla.ts";
import {
  CharacterTokenizer,
  initialAdapter,
  initialWeights,
  loadModel,
  type ModelConfig,
  type Weights,
  withAdapter,
} from "../model/index.ts";
import { randomFor, randomInt } from "../random.ts";
import { onnxRuntime, type Runtime, startXla, type XlaOptions } from "../tensor/index.ts";
import { type EngineClause, engineContract, engineContractWithin } from "./contract.ts";
import { addGradient } from "./gradient.ts";
import { createEngine, openEngine } from "./index.ts";
import { ProgramStore } from "./programs.ts";
import type { Datum, Engine, Loss } from "./types.ts";
import { fetchWeights, freeWeights, place } from "./weights.ts";

const adapter = { rank: 4, alpha: 8, targets: ["q_proj", "v_proj", "down_proj"] };
const small = {
  architecture: "probeward-character" as const,
  alphabet: "abcdefg",
  ...{ context: 48, layers: 2, heads: 2, width: 16, hidden: 24 },
};

/** Whether it is all tested that takes minutes: by night, and where it is asked for. */
const everything = process.env.PROBEWARD_EVERYTHING !== undefined;

// In bfloat16 each operand of a product of matrices is off by up to 2^-9 of its size. What decodes and what reads a sequence
// round different sums, thirteen products one after the other in these models of two layers: were all errors to add up,
// numbers would be 13 x 2 x 2^-9 = 0.05 of their size apart. Seen were 0.001 and 0.013; where both numbers come from
// programs of one shape, 6e-5.
const inBrainHalves = engineContractWithin(0.05);

const ways: [
  name: string,
  options: XlaOptions,
  models: ("embedded" | "adapter")[],
  contract: readonly EngineClause[],
][] = [
  ["one device", {}, ["embedded", "adapter"], engineContract],
  ["two processes of two devices", { devices: 2, processes: 2 }, ["embedded"], engineContract],
  ["one device in bfloat16", { dtype: "bfloat16" }, ["adapter"], inBrainHalves],
];
if (everything)
  ways.push(
    ["four devices in two groups", { devices: 4, data: 2 }, ["embedded", "adapter"], engineContract],
    ["four devices", { devices: 4 }, ["embedded", "adapter"], engineContract],
    ["two processes of two devices, too", { devices: 2, processes: 2 }, ["adapter"], engineContract],
    ["one device in bfloat16, too", { dtype: "bfloat16" }, ["embedded"], inBrainHalves],
    [
      "two processes in bfloat16",
      { dtype: "bfloat16", processes: 2 },
      ["embedded", "adapter"],
      inBrainHalves,
    ],
  );

onXla(`an engine over XLA${everything ? "" : " (PROBEWARD_EVERYTHING=1 tests it on more)"}`, () => {
  describe.each(ways)("on %s", (_, options, models, contract) => {
    let runtime: Runtime;
    let engines: Record<"embedded" | "adapter", Engine>;
    beforeAll(async () => {
      compileQuickly();
      runtime = await startXla(options);
      delete process.env.XLA_FLAGS;
      const weights = initialWeights(small, randomFor("contract"));
      const tokenizer = new CharacterTokenizer(small.alphabet);
      engines = {
        embedded: createEngine({ config: small, weights, tokenizer }, { runtime }),
        adapter: tinyLlamaEngine({ adapter, runtime }),
      };
    });
    afterAll(() => runtime.close());

    describe.each(models)("%s", (name) => {
      it.each(contract)(
        "$promise",
        ({ check }) =>
          check({
            engine: engines[name],
            reopen: openEngine,
            folder: () => mkdtemp(join(tmpdir(), "probeward-engine-")),
          }),
        60_000,
      );
    });
  });
});

/** The gradient of the policy's loss, with everything in it, for random sequences. */
async function gradientOn(
  runtime: Runtime,
  config: ModelConfig,
  weights: Weights,
  tokens: number,
): Promise<Weights> {
  const random = randomFor("sequences");
  const data = Array.from({ length: 16 }, (_, i): Datum => {
    const promptLength = 1 + randomInt(random, 4);
    const length = promptLength + 1 + randomInt(random, 9);
    const each = (value: () => number) => Float32Array.from({ length: length - promptLength }, value);
    return {
      promptLength,
      tokens: Array.from({ length }, () => randomInt(random, tokens)),
      weights: each(() => 1 / 80),
      advantages: each(() => (i % 3) - 1),
      logprobs: each(() => -1.5 - random() / 2),
      refLogprobs: each(() => -1.5 - random() / 2),
      probeWeight: 1 / 16,
    };
  });
  const loss: Loss = {
    ...{ kind: "policy_gradient", temperature: 1, clipRange: 0.2, kl: 0.1, entropy: 0.01 },
    probe: {
      probe: {
        ...{ kind: "logistic", bias: 0.1, threshold: 0 },
        tap: { hook: "blocks.0.hook_resid_post", positions: "completion", pool: "mean" },
        weight_D: Float32Array.from({ length: config.width }, (_, d) => Math.cos(d)),
      },
      ...{ as: "softplus", followUp: [] },
    },
  };
  const programs = new ProgramStore(runtime);
  const placed = await place(runtime, weights);
  const { gradient } = await addGradient({ config, programs }, placed, data, loss, undefined);
  const fetched = await fetchWeights(runtime, gradient!);
  const copied = Object.entries(fetched).map(([name, one]) => [name, { ...one, data: one.data.slice() }]);
  for (const one of [placed, gradient!]) freeWeights(runtime, one);
  await programs.close();
  return Object.fromEntries(copied);
}

/** The largest distance of a tensor from what it should be, as a share of that one's length. */
function worst(found: Weights, wanted: Weights): number {
  expect(Object.keys(found)).toEqual(Object.keys(wanted));
  const length = (data: ArrayLike<number>) => Math.hypot(...Array.from(data));
  const shares = Object.entries(wanted).map(([name, { data }]) => {
    expect(length(data), name).toBeGreaterThan(0);
    return length(data.map((value, i) => value - found[name]!.data[i]!)) / length(data);
  });
  return Math.max(...shares);
}

/** The distance of all tensors together, as a share of the length of what they should be. */
function distance(found: Weights, wanted: Weights): number {
  const all = (weights: Weights) => Object.keys(wanted).flatMap((name) => [...weights[name]!.data]);
  const [a, b] = [all(found), all(wanted)];
  return Math.sqrt(b.reduce((sum, x, i) => sum + (x - a[i]!) ** 2, 0) / b.reduce((sum, x) => sum + x * x, 0));
}

const llama = withAdapter(tinyLlama, adapter);
const random = randomFor("adapter");
/** A fresh adapter's B is zero, and so would be A's gradient. */
const moved = (weights: Weights): Weights =>
  Object.fromEntries(
    Object.entries(weights).map(([name, one]) => [
      name,
      { ...one, data: one.data.map((x) => x + random() / 10) },
    ]),
  );
const models: [
  name: string,
  tokens: number,
  load: () => Promise<{ config: ModelConfig; weights: Weights }>,
][] = [
  ["the embedded model of `code`", 20, () => loadModel("models/code")],
  [
    "a Llama's adapter",
    6,
    async () => ({
      config: llama,
      weights: { ...tinyLlamaWeights(), ...moved(initialAdapter(llama, random)) },
    }),
  ],
];

onXla("gradients over XLA", () => {
  describe.each([
    ["on one device", {}],
    ["on four devices in two groups", { devices: 4, data: 2 }],
    ["on two processes of two devices", { devices: 2, processes: 2 }],
  ])("%s", (_, options) => {
    it.each(models)("of %s are ONNX Runtime's", async (name, tokens, load) => {
      const { config, weights } = await load();
      const runtime = await startXla(options);
      try {
        const found = await gradientOn(runtime, config, weights, tokens);
        const share = worst(found, await gradientOn(onnxRuntime, config, weights, tokens));
        if (process.env.PROBEWARD_SHOW) console.log(name, share);
        expect(share).toBeLessThan(1e-5);
      } finally {
        await runtime.close();
      }
    });
  });
});

/** Rounded to the nearest bfloat16: the upper half of a float32. */
const rounded = (weights: Weights): Weights =>
  Object.fromEntries(
    Object.entries(weights).map(([name, one]) => {
      const data = one.data.slice();
      const bits = new Uint32Array(data.buffer);
      bits.forEach((word, i) => {
        bits[i] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000;
      });
      return [name, { ...one, data }];
    }),
  );

onXla("sampling over XLA", () => {
  it("draws the tokens that ONNX Runtime draws", async () => {
    const model = await loadModel("models/code");
    const runtime = await startXla();
    try {
      const sampled = async (on: Runtime) => {
        const engine = createEngine(model, { runtime: on });
        const prompts = ["ab", "hello", "x"].map((text) =>
          [1, ...text].map((_, i) => 1 + ((i * 7 + text.length) % 20)),
        );
        const params = { samples: 24, maxTokens: 24, temperature: 1, seed: ["tokens"] };
        const completions = await engine.reference.sample(prompts, params);
        await engine.close();
        return completions;
      };
      const [found, wanted] = [await sampled(runtime), await sampled(onnxRuntime)];
      expect(wanted.flatMap(({ tokens }) => tokens).length).toBeGreaterThan(200);
      expect(found.map(({ tokens }) => tokens)).toEqual(wanted.map(({ tokens }) => tokens));
      const off = wanted.flatMap(({ logprobs }, i) =>
        [...logprobs].map((x, t) => Math.abs(x - found[i]!.logprobs[t]!)),
      );
      expect(Math.max(...off)).toBeLessThan(1e-4);
    } finally {
      await runtime.close();
    }
  });
});

onXla("in bfloat16", () => {
  let runtime: Runtime | undefined;
  afterAll(() => runtime?.close());

  // What is right to expect depends on the model: how many products a gradient goes through, and what they do to errors. The
  // yardstick is ONNX Runtime's gradient where the weights alone are rounded. The other operands of products, which are as
  // many, and those of attention, which has no weights, are rounded too: some two or three times as many errors, which add
  // up as independent ones do.
  it.each(models)(
    "the gradient of %s is off by what rounding does, and no more",
    async (name, tokens, load) => {
      runtime ??= await startXla({ dtype: "bfloat16" });
      const { config, weights } = await load();
      const wanted = await gradientOn(onnxRuntime, config, weights, tokens);
      const yardstick = distance(await gradientOn(onnxRuntime, config, rounded(weights), tokens), wanted);
      const share = distance(await gradientOn(runtime, config, weights, tokens), wanted);
      if (process.env.PROBEWARD_SHOW) console.log(name, share, yardstick);
      expect(share).toBeLessThan(3 * yardstick);
      expect(share).toBeGreaterThan(yardstick / 3);
    },
  );
});

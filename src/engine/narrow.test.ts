/** @file Frozen matrices that are kept narrow: all that an engine computes is what their numbers give as float32, to the bit. */

import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { tinyHook, tinyLlama, tinyModel } from "../../test/tiny.ts";
import { type DecoderConfig, loadModel, type Weights, weightShapes } from "../model/index.ts";
import { normal, randomFor } from "../random.ts";
import { floats, type Narrow, narrowed } from "../tensor/index.ts";
import { createEngine } from "./engine.ts";
import type { Datum, Loss } from "./types.ts";

const checkpoint = fileURLToPath(new URL("../../test/fixtures/checkpoints/qwen2", import.meta.url));
const adapter = {
  rank: 2,
  alpha: 4,
  targets: ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"],
};
const dora = { ...adapter, dora: true };
const probe = {
  ...{ name: "p", kind: "logistic" as const, bias: 0.1, threshold: 0 },
  tap: { model: "policy" as const, hook: tinyHook, positions: "completion" as const, pool: "mean" as const },
  weight_D: Float32Array.from({ length: tinyLlama.width }, (_, i) => Math.sin(i)),
};
const loss: Loss = {
  ...{ kind: "policy_gradient", temperature: 1, clipRange: 0.2, kl: 0.1, entropy: 0.01 },
  probe: { probe, as: "softplus", followUp: [] },
};

/** All that a step of training computes. */
async function everything(
  config: DecoderConfig,
  weights: Weights,
  settings: typeof adapter,
  memoryMB: number,
) {
  const { tokenizer } = tinyModel;
  const engine = createEngine({ config, weights, tokenizer }, { adapter: settings, memoryMB });
  const policy = await engine.createPolicy({ seed: 3 });
  const reads = [{ as: "logits" as const, probe }];
  const step = async () => {
    const sampled = await policy.sample(
      [
        [1, 2, 3],
        [4, 5],
      ],
      { samples: 3, maxTokens: 6, seed: ["s"] },
    );
    const sequences = sampled.map(({ tokens }, i) => {
      const prompt = i < 3 ? [1, 2, 3] : [4, 5];
      return { tokens: [...prompt, ...tokens], promptLength: prompt.length };
    });
    const [own, frozen] = [
      await policy.forward(sequences, { reads }),
      await engine.reference.forward(sequences, { reads }),
    ];
    const data = sequences.map((sequence, i): Datum => {
      const { logprobs } = sampled[i]!;
      const each = (x: number) => new Float32Array(logprobs.length).fill(x);
      return {
        ...{ ...sequence, logprobs, weights: each(0.1), advantages: each((i % 3) - 1) },
        ...{ refLogprobs: frozen[i]!.logprobs, probeWeight: 0.5 },
      };
    });
    const metrics = await policy.forwardBackward(data, loss);
    const { gradNorm } = await policy.optimStep({ kind: "adamw", learningRate: 0.01 });
    return { sampled, own, frozen, metrics, gradNorm };
  };
  const steps = [await step(), await step()];
  const { sha256 } = engine.model;
  await policy.close();
  await engine.close();
  return { steps, sha256 };
}

function randomWeights(config: DecoderConfig, kept: Narrow): Weights {
  const random = randomFor("narrow", String(config.tied));
  const tensors = Object.entries(weightShapes(config)).map(([name, shape]) => {
    const tensor = floats(shape);
    tensor.data.set(tensor.data.map(() => (name.includes("norm") ? 1 : 0) + 0.3 * normal(random)));
    return [name, shape.length === 2 ? narrowed(tensor, kept) : tensor];
  });
  return Object.fromEntries(tensors);
}

const deep = { ...tinyLlama, layers: 3 };
const CASES = [
  ["bfloat16", "a layer's results are kept", deep, adapter, 2048],
  [
    "bfloat16",
    "they are computed again, and the embedding gives the logits",
    { ...deep, tied: true },
    adapter,
    0.01,
  ],
  ["bfloat16", "rows' lengths are trained apart", deep, dora, 2048],
  ["int8", "a layer's results are kept", deep, adapter, 2048],
  [
    "int8",
    "they are computed again, and the embedding gives the logits",
    { ...deep, tied: true },
    dora,
    0.01,
  ],
] as const;

describe("frozen matrices", () => {
  it.each(CASES)(
    "in %s give what they are as float32, where %s",
    async (kept, _, config, settings, memoryMB) => {
      const weights = randomWeights(config, kept);
      const wide = Object.entries(weights).map(([name, { shape, data }]) => [name, floats(shape, data)]);
      const narrow = await everything(config, weights, settings, memoryMB);
      expect(narrow).toEqual(await everything(config, Object.fromEntries(wide), settings, memoryMB));
      const [{ own, frozen }] = narrow.steps as [(typeof narrow.steps)[number]];
      // Policy and reference start as one, though the adapter's lengths are rounded.
      own.forEach(({ logprobs }, i) => {
        logprobs.forEach((x, t) => {
          expect(Math.abs(x - frozen[i]!.logprobs[t]!)).toBeLessThan(1e-5);
        });
      });
    },
  );

  it("that stay in their file give what they do in memory, with and without what layers computed", async () => {
    const [inMemory, inFile] = [await loadModel(checkpoint, "bfloat16"), await loadModel(checkpoint, "disk")];
    const config = inMemory.config as DecoderConfig;
    for (const memoryMB of [2048, 0.01])
      expect(await everything(config, inFile.weights, adapter, memoryMB)).toEqual(
        await everything(config, inMemory.weights, adapter, memoryMB),
      );
  });
});

/** @file An engine over a runtime that computes nothing: what it counts, beside what a real one takes and what can be counted by hand. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { compileQuickly, onXla } from "../../test/xla.ts";
import {
  type AdapterConfig,
  CharacterTokenizer,
  type DecoderConfig,
  shapesOnly,
  type Weights,
  weightShapes,
} from "../model/index.ts";
import { normal, randomFor } from "../random.ts";
import {
  type DryRuntime,
  floats,
  type ProgramCost,
  type Runtime,
  sizeOf,
  startDry,
  startXla,
} from "../tensor/index.ts";
import { createEngine } from "./index.ts";
import type { Datum, Engine, Policy } from "./types.ts";

const config: DecoderConfig = {
  architecture: "llama",
  ...{
    vocabulary: 512,
    context: 256,
    layers: 3,
    heads: 4,
    keyValueHeads: 2,
    headDim: 64,
    width: 256,
    hidden: 768,
  },
  norm: { kind: "rms", epsilon: 1e-5 },
  rotary: { frequencies: Array.from({ length: 32 }, (_, i) => 1e4 ** (-i / 32)), magnitude: 1 },
  mlp: "gated-silu",
  tied: false,
  biases: { queryKeyValue: false, attentionOut: false, mlp: false },
  queryKeyNorm: false,
  endTokens: [0],
};
const adapter = { rank: 8, alpha: 16, targets: ["q_proj", "v_proj", "down_proj"] };
/** Whether it is all tested that takes minutes: by night, and where it is asked for. */
const everything = process.env.PROBEWARD_EVERYTHING !== undefined;
const tokenizer = new CharacterTokenizer("ab");
const devices = 4;
const nowhere = { devices, platform: "gpu", device: "none", memory: 80e9, ends: [0] } as const;

function randomWeights(): Weights {
  const random = randomFor("dry");
  const tensors = Object.entries(weightShapes(config)).map(([name, shape]) => {
    const tensor = floats(shape);
    tensor.data.set(tensor.data.map(() => 0.02 * normal(random)));
    return [name, tensor];
  });
  return Object.fromEntries(tensors);
}

const [B, T, PROMPT] = [8, 64, 32];
const data = Array.from({ length: B }, (_, row): Datum => {
  const count = T - PROMPT;
  const each = new Float32Array(count).fill(1 / count);
  return {
    tokens: Array.from({ length: T }, (_, t) => 1 + ((row * 31 + t * 7) % 500)),
    promptLength: PROMPT,
    weights: each,
  };
});

/** What is kept, and the most that a program took, after a step of a fresh policy. */
async function step(engine: Engine, look: () => Promise<void>): Promise<Policy> {
  const policy = await engine.createPolicy({ seed: 1 });
  await policy.forward(data);
  await policy.forwardBackward(data, { kind: "cross_entropy" });
  await look();
  await policy.optimStep({ kind: "adamw", learningRate: 1e-3 });
  return policy;
}

const open = (
  runtime: Runtime,
  weights: Weights,
  options: { adapter?: AdapterConfig | undefined; config?: DecoderConfig } = {},
) =>
  createEngine({ config: options.config ?? config, weights, tokenizer }, { runtime }).with({
    adapter: options.adapter,
    memoryMB: 1000,
  });

/** Of all devices together. */
const operationsOf = (dry: DryRuntime) =>
  [...dry.account().ledger].reduce((sum, [{ operations }, times]) => sum + times * operations, 0) *
  dry.info.threads;

onXla(
  `an engine over a runtime that computes nothing${everything ? "" : " (PROBEWARD_EVERYTHING=1 tests more)"}`,
  () => {
    let dry: DryRuntime;
    beforeAll(async () => {
      dry = await startDry(nowhere);
    }, 120_000);
    afterAll(() => dry.close());

    it.each([["an adapter", adapter] as const, ...(everything ? [["all weights", undefined] as const] : [])])(
      "keeps as many bytes of each device as a real one does that trains %s, and its programs take as many",
      { timeout: 240_000 },
      async (_, trained) => {
        compileQuickly();
        const real = await startXla({ devices });
        delete process.env.XLA_FLAGS;
        dry.account();
        let [taken, kept] = [{ kept: 0, temporaries: 0 }, 0];
        await step(open(real, randomWeights(), { adapter: trained }), async () => {
          taken = await real.memory();
        });
        await real.close();
        const policy = await step(open(dry, shapesOnly(config), { adapter: trained }), async () => {
          kept = dry.kept;
        });
        await policy.close();
        const { ledger, peak } = dry.account();
        expect(kept).toBe(taken.kept);
        expect(Math.max(...[...ledger.keys()].map(({ temporaries }) => temporaries))).toBe(taken.temporaries);
        expect(peak.total).toBeGreaterThan(kept);
      },
    );

    it("counts the operations that can be counted by hand", { timeout: 240_000 }, async () => {
      const engine = open(dry, shapesOnly(config));
      const policy = await engine.createPolicy({ seed: 1 });
      const { layers, heads, keyValueHeads, headDim, width, hidden, vocabulary } = config;
      const tokens = B * T;
      const inLayer = 2 * width * headDim * (heads + keyValueHeads) + 3 * width * hidden;
      // Twice a weight and token; scores and sums of values, all pairs of positions of them; logits of what was written.
      const pass =
        2 * tokens * layers * inLayer +
        4 * tokens * T * heads * headDim * layers +
        2 * B * (T - PROMPT) * width * vocabulary;
      dry.account();
      await policy.forward(data);
      const forward = operationsOf(dry) / pass;
      await policy.forwardBackward(data, { kind: "cross_entropy" });
      const both = operationsOf(dry) / pass;
      expect(forward).toBeGreaterThan(0.97);
      expect(forward).toBeLessThan(1.05);
      expect(both).toBeGreaterThan(0.97 * 3);
      expect(both).toBeLessThan(1.05 * 3);
      await policy.close();
    });

    it("has weights sent and not what is computed of rows, and those within a group", {
      timeout: 240_000,
    }, async () => {
      const bytes = 4 * Object.values(weightShapes(config)).reduce((sum, shape) => sum + sizeOf(shape), 0);
      const many = Array.from({ length: 16 }, () => data).flat();
      for (const groups of [1, 2]) {
        const own = await startDry({ ...nowhere, data: groups });
        const policy = await open(own, shapesOnly(config), { adapter }).createPolicy({ seed: 1 });
        const sent = async (work: () => Promise<unknown>) => {
          own.account();
          await work();
          const { ledger } = own.account();
          const sum = (of: "exchanged" | "outside") =>
            [...ledger].reduce((all, [one, times]) => all + times * one[of], 0) / bytes;
          return [sum("exchanged"), sum("outside")] as const;
        };
        const scoring = await sent(() => policy.forward(many));
        const gradient = await sent(() => policy.forwardBackward(many, { kind: "cross_entropy" }));
        await own.close();
        // In multiples of the weights: they are gathered once forwards and once more backwards. Rows were 16 and 35 of them.
        expect(scoring[0]).toBeLessThan(2.5);
        expect(gradient[0]).toBeLessThan(5);
        for (const [all, outside] of [scoring, gradient])
          if (groups === 1) expect(outside).toBe(0);
          else expect(outside).toBeLessThan(all / 2);
      }
    });

    it("extrapolates a deep model's decoding to what its own program takes", {
      timeout: 240_000,
    }, async () => {
      const deep = { ...config, layers: 5 };
      const sampled = async () => {
        const engine = open(dry, shapesOnly(deep), { config: deep });
        dry.account();
        await engine.reference.sample([[1, 2, 3]], { samples: 4, maxTokens: 8, seed: [1] });
        const { ledger } = dry.account();
        await engine.close();
        const sum = (of: keyof ProgramCost) =>
          [...ledger].reduce((sum, [one, times]) => sum + times * one[of], 0);
        return {
          operations: sum("operations"),
          exchanged: sum("exchanged"),
          temporaries: Math.max(...[...ledger.keys()].map((one) => one.temporaries)),
        };
      };
      const whole = await sampled();
      let asked = 0;
      dry.decodeShallow = async (layers, B, C) => {
        asked++;
        const few = { ...config, layers };
        const engine = open(dry, shapesOnly(few), { config: few });
        await engine.reference.sample(
          Array.from({ length: B }, (_, i) => Array<number>(C / 2).fill(1 + i)),
          { maxTokens: 2, seed: [] },
        );
        await engine.close();
      };
      const extrapolated = await sampled();
      dry.decodeShallow = undefined;
      expect(asked).toBe(2);
      for (const key of ["operations", "exchanged", "temporaries"] as const)
        expect(Math.abs(extrapolated[key] / whole[key] - 1), key).toBeLessThan(0.05);
    });
  },
);

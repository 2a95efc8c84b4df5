/** @file A decoder run layer by layer: what it computes as one program, forwards and backwards, kept or computed again. */

import { numpy as np, valueAndGrad } from "@jax-js/jax";
import { afterAll, describe, expect, it, vi } from "vitest";
import { tinyLlama } from "../../test/tiny.ts";
import {
  ablating,
  type DecoderConfig,
  hiddenStates,
  nextTokens,
  splitWeights,
  type TracedWeights,
  type Weights,
  weightSpecs,
  withAdapter,
} from "../model/index.ts";
import { normal, randomFor, randomInt } from "../random.ts";
import { compile, floats, ints, type JaxArray, onnxRuntime, type Tensor } from "../tensor/index.ts";
import { wholeRows } from "./batches.ts";
import { forward } from "./forward.ts";
import { addGradient } from "./gradient.ts";
import { type PolicyBatch, type ProbeBatch, policyLoss } from "./loss.ts";
import { fitting } from "./memory.ts";
import { ProgramStore } from "./programs.ts";
import type { Datum, Loss } from "./types.ts";
import { fetchWeights } from "./weights.ts";

const programs = new ProgramStore();
afterAll(() => programs.close());

const config: DecoderConfig = { ...tinyLlama, layers: 3 };
const random = randomFor("layered");
const weights = (of: DecoderConfig): Weights =>
  Object.fromEntries(
    Object.entries(weightSpecs(of)).map(([name, { shape }]) => {
      const tensor = floats(shape);
      for (let i = 0; i < tensor.data.length; i++)
        tensor.data[i] = name.includes("norm") ? 1 + 0.1 * normal(random) : 0.2 * normal(random);
      return [name, tensor];
    }),
  );
const prompts = [1, 4].map((length) => Array.from({ length }, () => randomInt(random, 6)));
const data = Array.from({ length: 5 }, (_, i): Datum => {
  const prompt = prompts[i % 2]!;
  const promptLength = prompt.length;
  const length = promptLength + 1 + randomInt(random, 9);
  const each = (value: () => number) => Float32Array.from({ length: length - promptLength }, value);
  return {
    promptLength,
    tokens: Array.from({ length }, (_, t) => prompt[t] ?? randomInt(random, 6)),
    weights: each(() => 1 / 30),
    advantages: each(() => (i % 3) - 1),
    logprobs: each(() => -1.5 - random() / 2),
    refLogprobs: each(() => -1.5 - random() / 2),
    probeWeight: 1 / 5,
  };
});
const direction_D = Float32Array.from({ length: config.width }, (_, d) => Math.cos(d));
const probe = {
  ...{ kind: "logistic" as const, bias: 0.1, threshold: 0, weight_D: direction_D },
  tap: { hook: "blocks.1.hook_mlp_out", positions: "completion" as const, pool: "mean" as const },
};
const loss: Extract<Loss, { kind: "policy_gradient" }> = {
  ...{ kind: "policy_gradient", temperature: 0.8, clipRange: 0.2, kl: 0.1, entropy: 0.01 },
  probe: { probe, as: "softplus", followUp: [] },
  ablate: { hook: "blocks.1.hook_resid_mid", direction_D: direction_D.toReversed() },
};

/** The gradient of one program over all layers and a row for each sequence, as jax-js differentiates it. */
async function asOneProgram(of: DecoderConfig, at: Weights): Promise<Weights> {
  const { temperature, clipRange, kl, entropy } = loss;
  const whole = policyLoss(of, {
    ...{ temperature, clipRange, kl, entropy, edit: ablating(of, loss.ablate!) },
    probe: { hook: probe.tap.hook, pool: probe.tap.pool, as: "softplus" },
  });
  const { trained, frozen } = splitWeights(of, at);
  const [B, T] = [data.length, 16];
  const [tokens, targets] = [ints([B, T]), ints([B, T])];
  data.forEach((datum, row) => {
    tokens.data.set(datum.tokens as number[], row * T);
    targets.data.set(datum.tokens.slice(1), row * T);
  });
  const spread = (value: (datum: Datum) => Float32Array) => {
    const tensor = floats([B, T]);
    data.forEach((datum, row) => {
      tensor.data.set(value(datum), row * T + datum.promptLength - 1);
    });
    return tensor;
  };
  const arrays: PolicyBatch<Tensor> = {
    weights: spread((datum) => datum.weights),
    advantages: spread((datum) => datum.advantages!),
    oldLogProbs: spread((datum) => datum.logprobs!),
    referenceLogProbs: spread((datum) => datum.refLogprobs!),
  };
  const pool = floats([B, B * T]);
  const shares = floats([B]);
  data.forEach(({ promptLength, tokens }, row) => {
    const from = row * (B + 1) * T;
    pool.data.fill(1 / (tokens.length - promptLength), from + promptLength, from + tokens.length);
    shares.data[row] = 1 / 5;
  });
  const probed: ProbeBatch<Tensor> = {
    ...{ direction: floats([config.width], direction_D), bias: floats([], new Float32Array([0.1])) },
    ...{ pool, weights: shares },
  };
  const args = [trained, frozen, tokens, targets, wholeRows(B, T), arrays, probed] as const;
  const ofTrained = (own: TracedWeights, others: TracedWeights, ...rest: never[]) =>
    (whole as (...args: unknown[]) => unknown)({ ...others, ...own }, ...rest);
  const program = await compile(
    (...traced) =>
      (valueAndGrad(ofTrained as never, { hasAux: true }) as unknown as (...args: unknown[]) => unknown[])(
        ...traced,
      )[1] as TracedWeights,
    args,
  );
  const gradient = structuredClone(
    (await program.evaluate(
      ...(args as unknown as Parameters<typeof program.evaluate>),
    )) as unknown as Weights,
  );
  await program.close();
  return gradient;
}

function worst(found: Weights, wanted: Weights): number {
  expect(Object.keys(found).sort()).toEqual(Object.keys(wanted).sort());
  return Math.max(
    ...Object.entries(wanted).map(([name, { data }]) => {
      const length = Math.hypot(...data);
      expect(length, name).toBeGreaterThan(0);
      return Math.hypot(...data.map((value, i) => value - found[name]!.data[i]!)) / length;
    }),
  );
}

const adapter = { rank: 4, alpha: 8, targets: ["q_proj", "o_proj", "down_proj"] };
const models: [string, DecoderConfig][] = [
  ["all weights", config],
  ["all weights, the embedding tied", { ...config, tied: true }],
  ["an adapter", withAdapter(config, adapter)],
  [
    "an adapter of the upper layers",
    withAdapter(config, { ...adapter, targets: ["layers.1.mlp.down_proj"] }),
  ],
];

describe("layer by layer", () => {
  it.each(models)("the gradient of %s is that of one program", async (_, of) => {
    const at = weights(of);
    const wanted = await asOneProgram(of, at);
    // Room for everything; for one layer at a time; for the logits of a few tokens only.
    expect([fitting(of, 16).keeps, fitting(of, 16, { memoryMB: 0.05 }).keeps]).toEqual([true, false]);
    for (const memoryMB of [2048, 0.05, 0.0001]) {
      const { gradient } = await addGradient({ config: of, programs, memoryMB }, at, data, loss, undefined);
      expect(worst(await fetchWeights(programs.runtime, gradient!), wanted), `${memoryMB}`).toBeLessThan(
        2e-6,
      );
    }
  });

  it("tells a probe's loss in a layer below all that is trained, where it has no gradient", async () => {
    const of = withAdapter(config, { ...adapter, targets: ["layers.2.mlp.down_proj"] });
    const at = weights(of);
    const { metrics } = await addGradient({ config: of, programs }, at, data, loss, undefined);
    const outputs = await forward(of, programs, at, data, {
      ...{ reads: [{ as: "logits", probe }], temperature: 0.8, ablate: loss.ablate! },
    });
    const terms = outputs.map(({ reads: [logits] }) => {
      const pooled = logits!.reduce((sum, logit) => sum + logit / logits!.length, 0);
      return Math.log1p(Math.exp(pooled)) / 5;
    });
    expect(metrics.probeLoss).toBeCloseTo(
      terms.reduce((sum, term) => sum + term, 0),
      4,
    );
  });

  it("computes the probabilities and the activations of one program", async () => {
    const at = weights(config);
    const hooks = ["blocks.0.hook_attn_out", "blocks.2.hook_resid_pre"];
    const [sequence] = data;
    const T = sequence!.tokens.length;
    const program = await compile(
      (traced: TracedWeights, tokens: JaxArray, targets: JaxArray) => {
        const seen: JaxArray[] = [];
        const states = hiddenStates(
          ...([traced, tokens, np.arange(T).astype(np.int32), config, undefined] as const),
          (hook, value) => {
            if (hooks.includes(hook)) seen.push(value.ref);
          },
          ablating(config, loss.ablate!),
        );
        return { ...nextTokens(traced, states, targets, 0.8, config), seen };
      },
      [weightSpecs(config), ints([1, T]), ints([1, T])] as const,
    );
    const shifted = [...sequence!.tokens.slice(1), 0];
    const wanted = await program.evaluate(
      at,
      ints([1, T], Int32Array.from(sequence!.tokens)),
      ints([1, T], Int32Array.from(shifted)),
    );
    const [found] = await forward(config, programs, at, [sequence!], {
      reads: hooks.map((hook) => ({ as: "rows", hook, positions: "completion" })),
      ...{ temperature: 0.8, ablate: loss.ablate!, memoryMB: 0.0001 },
    });
    const from = sequence!.promptLength - 1;
    const close = (a: ArrayLike<number>, b: ArrayLike<number>) => {
      expect(a.length).toBe(b.length);
      for (let i = 0; i < a.length; i++) expect(a[i]).toBeCloseTo(b[i]!, 5);
    };
    close(found!.logprobs, wanted.logProbs.data.slice(from, T - 1));
    close(found!.entropies, wanted.entropies.data.slice(from, T - 1));
    (wanted.seen as Tensor[]).forEach(({ data }, i) => {
      close(found!.reads[i]!, data.slice((from + 1) * config.width));
    });
    await program.close();
  });

  const alternating = (layers: number): DecoderConfig => ({
    ...{ ...config, layers, caps: { attention: 5, logits: 4 } },
    sliding: {
      layers: Array.from({ length: layers }, (_, layer) => layer).filter((layer) => layer % 3 !== 2),
      ...{ window: 3, rotary: { frequencies: [0.5, 0.05], magnitude: 1 } },
    },
  });

  it("the gradient is that of one program also where layers are of two kinds", async () => {
    const of = withAdapter(alternating(4), adapter);
    const at = weights(of);
    const wanted = await asOneProgram(of, at);
    for (const memoryMB of [2048, 0.05]) {
      const { gradient } = await addGradient({ config: of, programs, memoryMB }, at, data, loss, undefined);
      expect(worst(await fetchWeights(programs.runtime, gradient!), wanted)).toBeLessThan(2e-6);
    }
  });

  it.each([
    ["all alike", (layers: number): DecoderConfig => ({ ...config, layers }), [3, 20]],
    ["of two kinds in turn", alternating, [6, 21]],
  ])("compiles as many programs for many layers as for a few, %s", async (_, model, depths) => {
    const counts = [];
    for (const layers of depths) {
      const compileOne = vi.fn(onnxRuntime.compile);
      const own = new ProgramStore({ ...onnxRuntime, compile: compileOne });
      const of = withAdapter(model(layers), adapter);
      await addGradient({ config: of, programs: own }, weights(of), data, loss, undefined);
      counts.push(compileOne.mock.calls.length);
      await own.close();
    }
    expect(counts[1]).toBe(counts[0]);
  });
});

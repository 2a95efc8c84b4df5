/** @file AdamW against its algorithm, and against itself however it is stopped. */

import { numpy as np } from "@jax-js/jax";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { filled, jaxArray } from "../../test/against-jax.ts";
import { type FloatTensor, floats, startJax } from "../tensor/index.ts";
import { type AdamWOptions, adamwStep, descend } from "./adamw.ts";
import { ProgramStore } from "./programs.ts";
import { fetchWeights, place } from "./weights.ts";

type Tensors = Record<string, FloatTensor>;
const tensors = (seed: number): Tensors => ({
  matrix: filled([3, 4], "float32", seed) as FloatTensor,
  bias: filled([5], "float32", seed + 1) as FloatTensor,
});
const copy = (record: Tensors): Tensors =>
  Object.fromEntries(Object.entries(record).map(([name, t]) => [name, { ...t, data: t.data.slice() }]));
const zeros = (like: Tensors): Tensors =>
  Object.fromEntries(Object.entries(like).map(([name, { shape }]) => [name, floats(shape)]));

const programs = new ProgramStore();
const { runtime } = programs;
afterAll(() => programs.close());

/** Weights and moments as this process sees them. */
interface Seen {
  weights: Tensors;
  step: number;
  m: Tensors;
  v: Tensors;
}

const fresh = (weights: Tensors): Seen => ({ weights, step: 0, m: zeros(weights), v: zeros(weights) });

/** One step, from numbers to numbers. */
async function stepped(
  { weights, step, m, v }: Seen,
  gradients: Tensors,
  learningRate: number,
  options: AdamWOptions = {},
) {
  const state = { step, m: await place(runtime, copy(m)), v: await place(runtime, copy(v)) };
  const placed = { weights: await place(runtime, copy(weights)), state };
  const after = await adamwStep(programs, placed, await place(runtime, gradients), learningRate, options);
  const fetched = async (of: typeof state.m) => copy((await fetchWeights(runtime, of)) as Tensors);
  const seen: Seen = {
    weights: await fetched(after.weights),
    step: after.state.step,
    m: await fetched(after.state.m),
    v: await fetched(after.state.v),
  };
  return { ...seen, gradNorm: after.gradNorm };
}

beforeAll(startJax);

describe("AdamW", () => {
  it("moves every weight by the learning rate against the gradient's sign at first", async () => {
    const start = fresh({ a: floats([1, 3], new Float32Array([1, 2, 3])) });
    const gradient = { a: floats([1, 3], new Float32Array([0.3, -40, 0])) };
    const { weights, gradNorm } = await stepped(start, gradient, 0.125);
    expect(weights.a!.data[0]).toBeCloseTo(0.875, 6);
    expect(weights.a!.data[1]).toBeCloseTo(2.125, 6);
    expect(weights.a!.data[2]).toBe(3);
    expect(gradNorm).toBeCloseTo(Math.hypot(0.3, 40), 5);
  });

  it("decays weights of two axes apart from the gradient", async () => {
    const start = fresh({
      matrix: floats([1, 1], new Float32Array([2])),
      bias: floats([1], new Float32Array([2])),
    });
    const none = { matrix: floats([1, 1]), bias: floats([1]) };
    const { weights } = await stepped(start, none, 0.1, { weightDecay: 0.5 });
    expect(weights.matrix!.data[0]).toBeCloseTo(2 * (1 - 0.1 * 0.5), 6);
    expect(weights.bias!.data[0]).toBe(2);
  });

  it("agrees with the algorithm as jax-js computes it, with clipping and decay", async () => {
    const options = { beta1: 0.8, beta2: 0.95, epsilon: 1e-6, weightDecay: 0.1, maxGradNorm: 2 };
    let seen = fresh(tensors(1));
    let [w, m, v] = [jaxArray(seen.weights.matrix!), np.zeros([3, 4]), np.zeros([3, 4])];
    for (let t = 1; t <= 8; t++) {
      const gradients = tensors(10 * t);
      const all = Object.values(gradients).flatMap(({ data }) => [...data]);
      const norm = Math.hypot(...all);
      const g = jaxArray(gradients.matrix!).mul(Math.min(1, options.maxGradNorm / norm));
      m = m.mul(0.8).add(g.ref.mul(0.2));
      v = v.mul(0.95).add(np.square(g).mul(0.05));
      const mHat = m.ref.div(1 - 0.8 ** t);
      const vHat = v.ref.div(1 - 0.95 ** t);
      w = w.ref.sub(mHat.div(np.sqrt(vHat).add(1e-6)).add(w.mul(0.1)).mul(0.03));
      const after = await stepped(seen, gradients, 0.03, options);
      expect(after.gradNorm).toBeCloseTo(norm, 5);
      seen = after;
    }
    const expected = w.dataSync();
    for (const [i, value] of seen.weights.matrix!.data.entries()) expect(value).toBeCloseTo(expected[i]!, 5);
  });

  it("clips by the norm over all tensors: gradients that point one way make the same step, however large", () =>
    fc.assert(
      fc.asyncProperty(fc.nat(100), fc.integer({ min: 2, max: 1000 }), async (seed, factor) => {
        const gradients = tensors(seed);
        const larger = copy(gradients);
        for (const { data } of Object.values(larger))
          for (let i = 0; i < data.length; i++) data[i]! *= factor;
        const start = fresh(tensors(0));
        const first = await stepped(start, gradients, 0.1, { maxGradNorm: 1 });
        const second = await stepped(start, larger, 0.1, { maxGradNorm: 1 });
        const squares = Object.values(second.m).flatMap(({ data }) => [...data].map((x) => (x / 0.1) ** 2));
        expect(Math.sqrt(squares.reduce((sum, x) => sum + x, 0))).toBeCloseTo(1, 5);
        for (const name of Object.keys(first.m))
          for (const [i, value] of first.m[name]!.data.entries())
            expect(second.m[name]!.data[i]).toBeCloseTo(value, 6);
      }),
    ));

  it("moves weights the same beside ones that are so large that they are moved apart", async () => {
    const large = (value: number) => {
      const size = 2 ** 23 + 1;
      return floats([size], new Float32Array(size).fill(value));
    };
    const [start, gradients] = [tensors(1), tensors(2)];
    const alone = await stepped(fresh(start), gradients, 0.1);
    const whole = { matrix: start.matrix!, large: large(1), bias: start.bias! };
    const beside = { matrix: gradients.matrix!, large: large(-2), bias: gradients.bias! };
    const { weights } = await stepped(fresh(whole), beside, 0.1);
    for (const name of ["matrix", "bias"]) expect(weights[name]).toEqual(alone.weights[name]);
    expect(weights.large!.data.at(-1)).toBeCloseTo(1.1, 6);
  });

  it("moves those alone that have a gradient", async () => {
    const { weights, state } = {
      weights: await place(runtime, tensors(1)),
      state: {
        step: 0,
        m: await place(runtime, zeros(tensors(1))),
        v: await place(runtime, zeros(tensors(1))),
      },
    };
    const { matrix } = tensors(2);
    const gradient = await place(runtime, { matrix: matrix! });
    const after = await adamwStep(programs, { weights, state }, gradient, 0.1, { weightDecay: 0.5 });
    const seen = await fetchWeights(runtime, after.weights);
    expect(seen.bias).toEqual(tensors(1).bias);
    expect(seen.matrix!.data).not.toEqual(tensors(1).matrix!.data);
    expect(Object.keys(after.state.m)).toEqual(["matrix", "bias"]);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "refuses gradients that are not finite (%s), and changes nothing",
    async (bad) => {
      const weights = await place(runtime, tensors(1));
      const state = { step: 3, m: await place(runtime, tensors(2)), v: await place(runtime, tensors(2)) };
      const gradients = tensors(3);
      gradients.bias!.data[2] = bad;
      const placed = await place(runtime, gradients);
      const message = 'the gradient of "bias" is not finite';
      await expect(adamwStep(programs, { weights, state }, placed, 0.1)).rejects.toThrow(message);
      await expect(descend(programs, weights, placed, 1)).rejects.toThrow(message);
      expect(await fetchWeights(runtime, weights)).toEqual(tensors(1));
      expect(await fetchWeights(runtime, state.m)).toEqual(tensors(2));
    },
  );
});

describe("plain descent", () => {
  it("goes against the gradient by a length, and nowhere where there is no gradient", async () => {
    const start = tensors(1);
    const gradients = tensors(2);
    const weights = await place(runtime, copy(start));
    const after = await descend(programs, weights, await place(runtime, gradients), 0.25);
    const seen = await fetchWeights(runtime, after.weights);
    const change = Object.keys(start).flatMap((name) =>
      [...seen[name]!.data].map((x, i) => x - start[name]!.data[i]!),
    );
    const along = Object.values(gradients).flatMap(({ data }) => [...data]);
    expect(Math.hypot(...change)).toBeCloseTo(0.25, 5);
    expect(change.reduce((sum, x, i) => sum + x * along[i]!, 0)).toBeCloseTo(-0.25 * after.gradNorm, 4);
    const nowhere = await descend(programs, after.weights, await place(runtime, zeros(start)), 0.25);
    expect(nowhere).toEqual({ weights: after.weights, gradNorm: 0 });
  });
});

import { numpy as np } from "@jax-js/jax";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { filled, jaxArray } from "../../test/against-jax.ts";
import { type FloatTensor, floats, startJax } from "../tensor/index.ts";
import { type AdamWOptions, createAdamW } from "./adamw.ts";

type Tensors = Record<string, FloatTensor>;
const tensors = (seed: number): Tensors => ({
  matrix: filled([3, 4], "float32", seed) as FloatTensor,
  bias: filled([5], "float32", seed + 1) as FloatTensor,
});
const copy = (record: Tensors): Tensors =>
  Object.fromEntries(Object.entries(record).map(([name, t]) => [name, { ...t, data: t.data.slice() }]));

beforeAll(startJax);

describe("createAdamW", () => {
  it("moves every weight by the learning rate against the gradient's sign at first", () => {
    const weights = { a: floats([1, 3], new Float32Array([1, 2, 3])) };
    const { step } = createAdamW(weights);
    const { gradNorm } = step({ a: floats([1, 3], new Float32Array([0.3, -40, 0])) }, 0.125);
    expect(weights.a.data[0]).toBeCloseTo(0.875, 6);
    expect(weights.a.data[1]).toBeCloseTo(2.125, 6);
    expect(weights.a.data[2]).toBe(3);
    expect(gradNorm).toBeCloseTo(Math.hypot(0.3, 40), 5);
  });

  it("decays weights of two axes apart from the gradient", () => {
    const weights = {
      matrix: floats([1, 1], new Float32Array([2])),
      bias: floats([1], new Float32Array([2])),
    };
    const none = { matrix: floats([1, 1]), bias: floats([1]) };
    createAdamW(weights, { weightDecay: 0.5 }).step(none, 0.1);
    expect(weights.matrix.data[0]).toBeCloseTo(2 * (1 - 0.1 * 0.5), 6);
    expect(weights.bias.data[0]).toBe(2);
  });

  it("agrees with the algorithm as jax-js computes it, with clipping and decay", () => {
    const options = { beta1: 0.8, beta2: 0.95, epsilon: 1e-6, weightDecay: 0.1, maxGradNorm: 2 };
    const weights = tensors(1);
    let [w, m, v] = [jaxArray(weights.matrix!), np.zeros([3, 4]), np.zeros([3, 4])];
    const optimizer = createAdamW(weights, options);
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
      expect(optimizer.step(gradients, 0.03).gradNorm).toBeCloseTo(norm, 5);
    }
    const expected = w.dataSync();
    for (const [i, value] of weights.matrix!.data.entries()) expect(value).toBeCloseTo(expected[i]!, 5);
  });

  it("clips by the norm over all tensors: gradients that point one way make the same step, however large", () =>
    fc.assert(
      fc.property(fc.nat(100), fc.integer({ min: 2, max: 1000 }), (seed, factor) => {
        const gradients = tensors(seed);
        const larger = copy(gradients);
        for (const { data } of Object.values(larger))
          for (let i = 0; i < data.length; i++) data[i]! *= factor;
        const [a, b] = [tensors(0), tensors(0)];
        const [first, second] = [createAdamW(a, { maxGradNorm: 1 }), createAdamW(b, { maxGradNorm: 1 })];
        first.step(gradients, 0.1);
        second.step(larger, 0.1);
        const squares = Object.values(second.state.m).flatMap(({ data }) =>
          [...data].map((x) => (x / 0.1) ** 2),
        );
        expect(Math.sqrt(squares.reduce((sum, x) => sum + x, 0))).toBeCloseTo(1, 5);
        for (const name of Object.keys(a))
          for (const [i, value] of first.state.m[name]!.data.entries())
            expect(second.state.m[name]!.data[i]).toBeCloseTo(value, 6);
      }),
    ));

  it("continues from a stored state bit for bit", () =>
    fc.assert(
      fc.property(fc.nat(100), fc.integer({ min: 0, max: 5 }), (seed, stop) => {
        const options: AdamWOptions = { weightDecay: 0.01, maxGradNorm: 3 };
        const [whole, resumed] = [tensors(seed), tensors(seed)];
        const straight = createAdamW(whole, options);
        let current = createAdamW(resumed, options);
        for (let t = 0; t < 6; t++) {
          if (t === stop) {
            const { step, m, v } = current.state;
            current = createAdamW(resumed, options, { step, m: copy(m), v: copy(v) });
          }
          straight.step(tensors(seed + t), 0.01);
          current.step(tensors(seed + t), 0.01);
        }
        expect(resumed).toEqual(whole);
        expect(current.state).toEqual(straight.state);
      }),
      { numRuns: 20 },
    ));

  it("refuses gradients that are not finite, and changes nothing", () => {
    const weights = tensors(1);
    const optimizer = createAdamW(weights);
    optimizer.step(tensors(2), 0.1);
    const before = { weights: copy(weights), state: structuredClone(optimizer.state) };
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const gradients = tensors(3);
      gradients.bias!.data[2] = bad;
      expect(() => optimizer.step(gradients, 0.1)).toThrow('the gradient of "bias" is not finite');
    }
    expect(weights).toEqual(before.weights);
    expect(optimizer.state).toEqual(before.state);
  });

  it("refuses gradients and states that do not fit the weights", () => {
    const optimizer = createAdamW(tensors(1));
    const { matrix, bias } = tensors(2) as { matrix: FloatTensor; bias: FloatTensor };
    expect(() => optimizer.step({ matrix }, 1)).toThrow('the gradient of "bias" is missing');
    expect(() => optimizer.step({ matrix, bias: floats([6]) }, 1)).toThrow(
      "has shape [6]; its weight has [5]",
    );
    expect(() => optimizer.step({ matrix, bias, other: bias }, 1)).toThrow('"other", which is no weight');
    expect(() => createAdamW({ matrix }, {}, { step: 1, m: { matrix }, v: {} })).toThrow(
      'the second moment of "matrix" is missing',
    );
  });
});

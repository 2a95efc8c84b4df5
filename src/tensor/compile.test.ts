import { nn, numpy as np, valueAndGrad } from "@jax-js/jax";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectAgreement, filled } from "../../test/against-jax.ts";
import { compile } from "./compile.ts";
import type { JaxArray } from "./trace.ts";
import { type FloatTensor, floats, ints, type Tensor } from "./types.ts";

describe("compile", () => {
  it("keeps the nesting of arguments and results", async () => {
    const args = [
      { z: floats([2], new Float32Array([1, 2])), a: [floats([1], new Float32Array([10]))] },
    ] as const;
    const program = await compile(
      ({ z, a }) => ({ twice: z.ref.add(z), list: [a[0].ref, { deep: a[0].sub(1) }] }),
      args,
    );
    const { twice, list } = await program.evaluate(...args);
    expect([...twice.data]).toEqual([2, 4]);
    expect([...(list[0] as Tensor).data]).toEqual([10]);
    expect([...(list[1] as { deep: Tensor }).deep.data]).toEqual([9]);
    await program.close();
  });

  it("takes arguments that it does not use, and gives constants and arguments as they are", async () => {
    const program = await compile((x, _) => [x, np.arange(3), 4], [floats([2]), ints([1])]);
    const [x, constant, number] = await program.evaluate(floats([2], new Float32Array([5, 6])), ints([1]));
    expect([...x.data]).toEqual([5, 6]);
    expect([...constant.data]).toEqual([0, 1, 2]);
    expect([...(number as Tensor).data]).toEqual([4]);
    await program.close();
  });

  it("writes where what was evaluated before lay, and never into its arguments", async () => {
    const program = await compile((x) => [x.ref, x.mul(2)], [floats([2])]);
    const input = floats([2], new Float32Array([1, 2]));
    const [same, first] = await program.evaluate(input);
    expect(same.data).not.toBe(input.data);
    const [other, second] = await program.evaluate(floats([2], new Float32Array([3, 4])));
    expect(new Set([other.data, second.data])).toEqual(new Set([same.data, first.data]));
    expect([...second.data]).toEqual([6, 8]);
    expect([...input.data]).toEqual([1, 2]);
    await program.close();
  });

  it("refuses arrays without elements", async () => {
    await expect(compile((x) => x.mul(2), [floats([2, 0])])).rejects.toThrow("an input has shape [2,0]");
    await expect(compile((x) => np.split(x, [0])[1]!, [floats([2])])).rejects.toThrow(
      'the result of jax-js\'s "split" has shape [0]',
    );
  });

  it("refuses results of element types that it cannot give", async () => {
    await expect(compile((x) => x.astype(np.uint32), [ints([2])])).rejects.toThrow("not uint32");
  });
});

describe("run", () => {
  it("says which input is wrong, and what it should be", async () => {
    const spec = { weights: { w: floats([2, 3]) }, tokens: ints([4]) };
    const program = await compile(({ weights, tokens }) => np.sum(weights.w).add(np.sum(tokens)), [spec]);
    const run = (weights: unknown, tokens: unknown) => program.evaluate({ weights, tokens } as never);
    await expect(run({}, ints([4]))).rejects.toThrow(
      "program: argument 0.weights.w is missing; it should be float32[2,3]",
    );
    await expect(program.evaluate(null as never)).rejects.toThrow("argument 0.weights.w is missing");
    await expect(run({ w: floats([3, 2]) }, ints([4]))).rejects.toThrow(
      "argument 0.weights.w is float32[3,2] with 6 elements; it should be float32[2,3]",
    );
    await expect(run({ w: floats([2, 3], new Float32Array(5)) }, ints([4]))).rejects.toThrow(
      "with 5 elements",
    );
    await expect(run({ w: floats([2, 3]) }, floats([4]))).rejects.toThrow(
      "argument 0.tokens is float32[4] with 4 elements; it should be int32[4]",
    );
    await expect(run({ w: { ...floats([2, 3]), data: new Int32Array(6) } }, ints([4]))).rejects.toThrow(
      "argument 0.weights.w is float32 but its data is a Int32Array; it should be a Float32Array",
    );
    await program.close();
    await expect(run({ w: floats([2, 3]) }, ints([4]))).rejects.toThrow("after it had been closed");
  });
});

describe("gradients of networks", () => {
  const rmsNorm = (x: JaxArray) =>
    x.ref.mul(np.reciprocal(np.sqrt(np.mean(np.square(x), -1, { keepdims: true }).add(1e-5))));
  const layerNorm = (x: JaxArray, gain: JaxArray, bias: JaxArray) => {
    const centred = x.ref.sub(np.mean(x, -1, { keepdims: true }));
    const variance = np.mean(np.square(centred.ref), -1, { keepdims: true });
    return centred
      .div(np.sqrt(variance.add(1e-5)))
      .mul(gain)
      .add(bias);
  };
  const size = fc.integer({ min: 1, max: 4 });
  const weights = (shapes: Record<string, number[]>, seed: number) =>
    Object.fromEntries(
      Object.entries(shapes).map(([name, shape], i) => {
        const tensor = filled(shape, "float32", seed + i);
        return [name, { ...tensor, data: tensor.data.map((x) => x / 4) } as FloatTensor];
      }),
    );

  it("softmax cross-entropy of a linear map", () =>
    fc.assert(
      fc.asyncProperty(size, size, size, fc.nat(99), async (rows, width, classes, seed) => {
        const targets = ints(
          [rows],
          Int32Array.from({ length: rows }, (_, i) => (seed + i) % classes),
        );
        await expectAgreement(
          valueAndGrad((p: Record<string, JaxArray>, targets: JaxArray) => {
            const logProbs = nn.logSoftmax(np.dot(p.x!, p.w!).add(p.b!), -1);
            return np.mean(np.sum(logProbs.mul(nn.oneHot(targets, classes)), -1)).neg();
          }) as (...args: never[]) => unknown,
          [weights({ x: [rows, width], w: [width, classes], b: [classes] }, seed), targets],
        );
      }),
      { numRuns: 10 },
    ));

  it("layer norm and gelu", () =>
    fc.assert(
      fc.asyncProperty(
        size,
        size,
        fc.integer({ min: 2, max: 5 }),
        fc.boolean(),
        fc.nat(99),
        async (b, t, d, approximate, seed) => {
          const p = weights({ x: [b, t, d], gain: [d], bias: [d], w: [d, 3], target: [b, t, 3] }, seed);
          await expectAgreement(
            valueAndGrad((p: Record<string, JaxArray>) => {
              const hidden = nn.gelu(np.dot(layerNorm(p.x!, p.gain!, p.bias!), p.w!), { approximate });
              return np.sum(np.square(hidden.sub(p.target!)));
            }) as (...args: never[]) => unknown,
            [p],
            1e-4,
          );
        },
      ),
      { numRuns: 10 },
    ));

  /** A block of causal attention and a squared-ReLU network over embedded tokens, as in the embedded models. */
  const transformer =
    (b: number, t: number, heads: number, width: number) =>
    (p: Record<string, JaxArray>, tokens: JaxArray): JaxArray => {
      const split = (x: JaxArray) => x.reshape([b, t, heads, width]).transpose([0, 2, 1, 3]);
      const x = np.take(p.embed!.ref, tokens, 0).add(p.position!);
      const h = rmsNorm(x.ref);
      const [q, k, v] = [p.q!, p.k!, p.v!].map((w) => split(np.dot(h.ref, w))) as [
        JaxArray,
        JaxArray,
        JaxArray,
      ];
      h.dispose();
      const scores = np.matmul(q.mul(width ** -0.5), k.transpose([0, 1, 3, 2]));
      const mask = np.tril(np.ones([t, t])).astype(np.bool);
      const attention = nn.softmax(np.where(mask, scores, -1e9), -1);
      const mixed = np
        .matmul(attention, v)
        .transpose([0, 2, 1, 3])
        .reshape([b, t, heads * width]);
      const resid = x.add(np.dot(mixed, p.o!));
      const hidden = nn.relu(np.dot(rmsNorm(resid.ref), p.up!));
      const out = rmsNorm(resid.add(np.dot(np.square(hidden), p.down!)));
      return nn.logSoftmax(np.dot(out, p.embed!.transpose()), -1);
    };

  it("attention block with tied embedding", () =>
    fc.assert(
      fc.asyncProperty(
        size,
        size,
        fc.integer({ min: 1, max: 2 }),
        size,
        fc.nat(99),
        async (b, t, heads, width, seed) => {
          const d = heads * width;
          const shapes = {
            embed: [5, d],
            position: [t, d],
            q: [d, d],
            k: [d, d],
            v: [d, d],
            o: [d, d],
            up: [d, 2 * d],
            down: [2 * d, d],
          };
          const tokens = ints(
            [b, t],
            Int32Array.from({ length: b * t }, (_, i) => (seed + i * i) % 5),
          );
          const forward = transformer(b, t, heads, width);
          const loss = (p: Record<string, JaxArray>, tokens: JaxArray) => {
            const logProbs = forward(p, tokens.ref);
            return np.sum(np.takeAlongAxis(logProbs, tokens.reshape([b, t, 1]), -1)).neg();
          };
          await expectAgreement(
            valueAndGrad(loss) as (...args: never[]) => unknown,
            [weights(shapes, seed), tokens],
            1e-4,
          );
        },
      ),
      { numRuns: 10 },
    ));
});

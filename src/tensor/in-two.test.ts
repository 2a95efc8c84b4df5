/** @file Programs in two steps and programs of programs: what they give, what is kept between, and what is refused. */

import { nn, numpy as np } from "@jax-js/jax";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compile, compileTraced, traceOf } from "./compile.ts";
import { Composer } from "./compose.ts";
import { compileInTwo } from "./in-two.ts";
import { onnxRuntime } from "./onnx/runtime.ts";
import { calledBy } from "./program.ts";
import type { Handle } from "./runtime.ts";
import type { JaxArray } from "./trace.ts";
import { floats } from "./types.ts";

const row = (...numbers: number[]) => floats([numbers.length], Float32Array.from(numbers));
const numbersOf = async (handle: Handle) => [...(await onnxRuntime.get(handle)).data];

describe("a function in two steps", () => {
  it("gives what it gives in one, and keeps only what is dear to make again", async () => {
    // From x come a sum and an exponential; of the late y the exponential is needed, and a sum that is made again.
    const fn = (x: JaxArray, y: JaxArray) => {
      const exponential = np.exp(x.ref.add(1));
      return [exponential.ref.mul(2), exponential.mul(y).add(x.mul(3))] as [JaxArray, JaxArray];
    };
    const { first, second, close } = await compileInTwo(fn, [row(0, 0)], [row(0, 0)]);
    const x = row(0, 1);
    const [early, kept] = await first.run(x);
    expect(kept.map(({ shape }) => shape)).toEqual([[2]]);
    const late = await second.run(x, row(10, 100), kept);
    const e = Math.exp;
    expect(await numbersOf(early)).toEqual([2 * e(1), 2 * e(2)].map(Math.fround));
    const wanted = [10 * e(1), 100 * e(2) + 3];
    (await numbersOf(late)).forEach((value, i) => {
      expect(value).toBeCloseTo(wanted[i]!, 3);
    });
    await expect(onnxRuntime.get(kept[0]!)).rejects.toThrow("used after it had been freed");
    await close();
  });

  it("is the same function, whatever it computes", async () => {
    const unary = fc.constantFrom<(x: JaxArray) => JaxArray>(
      np.exp,
      np.square,
      nn.sigmoid,
      (x) => x.mul(-0.5),
      (x) => np.sum(x, -1, { keepdims: true }).add(np.zeros([3])),
      (x) => np.broadcastTo(np.max(x.reshape([3])).reshape([1]), [3]),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(unary, { minLength: 1, maxLength: 4 }), unary, async (before, after) => {
        const fn = (x: JaxArray, y: JaxArray): [JaxArray, JaxArray] => {
          const made = before.reduce((value, op) => op(value), x.ref);
          return [made.ref, after(made.mul(y)).add(x)];
        };
        const [x, y] = [row(0.5, -1, 0.25), row(1, -2, 3)];
        const whole = await compile(fn, [x, y]);
        const halves = await compileInTwo(fn, [x], [y]);
        const wanted = await whole.evaluate(x, y);
        const [early, kept] = await halves.first.run(x);
        const found = [await numbersOf(early), await numbersOf(await halves.second.run(x, y, kept))];
        found.forEach((values, i) => {
          values.forEach((value, j) => {
            expect(value).toBeCloseTo(wanted[i]!.data[j]!, 4);
          });
        });
        await whole.close();
        await halves.close();
      }),
      { numRuns: 25 },
    );
  });

  it("refuses a first part that needs what comes later", async () => {
    const fn = (x: JaxArray, y: JaxArray): [JaxArray, JaxArray] => [x.add(y.ref), y];
    await expect(compileInTwo(fn, [row(0)], [row(0)])).rejects.toThrow("depends on a late input");
  });
});

describe("a program of programs", () => {
  it("calls one that was traced once with others' results", async () => {
    const step = await traceOf(
      (x: JaxArray, w: JaxArray) => x.mul(w).add(np.array([1, 2])),
      [row(0, 0), row(0, 0)],
    );
    const whole = new Composer();
    const x = whole.inputs(row(0, 0));
    const weights = [0, 1, 2].map(() => whole.inputs(row(0, 0)));
    const result = weights.reduce((value, w) => whole.call(step, value, w), x);
    const traced = whole.finish({ result });
    expect(new Set(traced.program.equations.map(calledBy))).toEqual(new Set([step.program]));
    const specs = [row(0, 0), row(0, 0), row(0, 0), row(0, 0)] as const;
    const program = await compileTraced<typeof specs, { result: ReturnType<typeof row> }>(traced, specs);
    const { result: found } = await program.evaluate(row(1, 1), row(2, 3), row(2, 3), row(2, 3));
    // x -> 2 x + 1 and x -> 3 x + 2, three times.
    expect([...found.data]).toEqual([15, 53]);
    await program.close();
  });

  it("refuses an argument of another shape", async () => {
    const step = await traceOf((x: JaxArray) => x.mul(2), [row(0, 0)]);
    const whole = new Composer();
    expect(() => whole.call(step, whole.inputs(row(0)))).toThrow("is float32[1]; it should be float32[2]");
  });
});

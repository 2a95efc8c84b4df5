/** @file All primitives against jax-js itself, on any runtime: over shapes, layouts, broadcasts and element types. */

import { grad, lax, numpy as np } from "@jax-js/jax";
import fc from "fast-check";
import { describe, it } from "vitest";
import type { Runtime } from "../src/tensor/runtime.ts";
import type { JaxArray } from "../src/tensor/trace.ts";
import { type DType, floats, ints, sizeOf, type Tensor, type Tree } from "../src/tensor/types.ts";
import {
  applyMoves,
  type Choices,
  choices,
  expectAgreement,
  filled,
  moveChoices,
  operand,
  planMoves,
  shapes,
} from "./against-jax.ts";

type Ops = Record<string, (...inputs: JaxArray[]) => JaxArray>;

/** The shape of one operand of a broadcast to `shape`: bit i of `ones` gives axis i size 1, leading axes are dropped. */
function narrowed(shape: readonly number[], ones: number, dropped: number): number[] {
  return shape.map((size, axis) => ((ones >> axis) & 1 ? 1 : size)).slice(dropped % (shape.length + 1));
}

const broadcasts = fc.record({
  shape: shapes(5),
  a: choices,
  b: choices,
  ones: fc.oneof(fc.constant(0), fc.nat(31)),
  dropped: fc.nat(5),
  swap: fc.boolean(),
  moves: moveChoices,
});

/**
 * @param runtime that the tests' programs run on, once they run
 * @param share of the random cases that are tried, at least three of each kind
 */
export function primitiveTests(runtime: () => Runtime, share = 1): void {
  const runs = (usual: number) => Math.max(3, Math.round(usual * share));
  const agree = (fn: (...args: never[]) => unknown, args: Tree<Tensor>[]) =>
    expectAgreement(fn, args, undefined, runtime());

  /** All of `ops` on operands of the given shapes and random layouts; each result as it is and after random movements. */
  async function checkOps(
    ops: Ops,
    operands: { shape: readonly number[]; dtype: DType; choices: Choices }[],
    moves: number[] = [],
  ): Promise<void> {
    const inputs = operands.map(({ shape, dtype, choices }) => operand(shape, dtype, choices));
    await agree(
      (...stored: JaxArray[]) => {
        const views = stored.map((array, i) => inputs[i]!.view(array));
        return Object.fromEntries(
          Object.entries(ops).flatMap(([name, op]) => {
            const result = op(...views.map((view) => view.ref));
            const moved = applyMoves(result.ref, planMoves(result.shape, moves));
            return [
              [name, result],
              [`${name} moved`, moved],
            ];
          }),
        );
      },
      inputs.map(({ stored }) => stored),
    );
  }

  /** Checks binary ops on operands of which one has the full shape and the other broadcasts to it. */
  function checkBroadcasts(ops: Ops, dtypes: [DType, DType], numRuns: number): Promise<void> {
    return fc.assert(
      fc.asyncProperty(broadcasts, async ({ shape, a, b, ones, dropped, swap, moves }) => {
        const pair = [shape, narrowed(shape, ones, dropped)];
        if (swap) pair.reverse();
        await checkOps(
          ops,
          [
            { shape: pair[0]!, dtype: dtypes[0], choices: a },
            { shape: pair[1]!, dtype: dtypes[1], choices: b },
          ],
          moves,
        );
      }),
      { numRuns: runs(numRuns) },
    );
  }

  describe("element-wise operators", () => {
    const half = (x: JaxArray) => x.mul(0.5);
    const positive = (x: JaxArray) => np.abs(x).add(0.1);
    const unary: Ops = {
      neg: (x) => x.neg(),
      reciprocal: (x) => np.reciprocal(x),
      floor: (x) => np.floor(x),
      ceil: (x) => np.ceil(x),
      trunc: (x) => np.trunc(x),
      "stop_gradient of neg": (x) => lax.stopGradient(x.neg()),
      sin: (x) => np.sin(x),
      cos: (x) => np.cos(x),
      asin: (x) => np.asin(half(x)),
      atan: (x) => np.atan(x),
      exp: (x) => np.exp(x),
      log: (x) => np.log(positive(x)),
      erf: (x) => lax.erf(x),
      erfc: (x) => lax.erfc(x),
      sqrt: (x) => np.sqrt(positive(x)),
      "cast to int32": (x) => x.astype(np.int32),
      "cast to bool": (x) => x.add(1).astype(np.bool),
      "cast of neg": (x) => x.neg().astype(np.int32),
    };
    it("of one float", () =>
      fc.assert(
        fc.asyncProperty(shapes(5), choices, moveChoices, (shape, choices, moves) =>
          checkOps(unary, [{ shape, dtype: "float32", choices }], moves),
        ),
        { numRuns: runs(15) },
      ));

    it("casts of integers and booleans", () =>
      fc.assert(
        fc.asyncProperty(shapes(4), choices, moveChoices, async (shape, choices, moves) => {
          const casts: Ops = {
            float: (x) => x.astype(np.float32),
            int: (x) => x.astype(np.int32),
            bool: (x) => x.astype(np.bool),
          };
          await checkOps({ ...casts, neg: (x) => x.neg() }, [{ shape, dtype: "int32", choices }], moves);
          await checkOps(casts, [{ shape, dtype: "bool", choices }], moves);
        }),
        { numRuns: runs(5) },
      ));

    const arithmetic: Ops = {
      add: (x, y) => x.add(y),
      sub: (x, y) => x.sub(y),
      mul: (x, y) => x.mul(y),
      min: (x, y) => np.minimum(x, y),
      max: (x, y) => np.maximum(x, y),
      mod: (x, y) => np.fmod(x, y),
      remainder: (x, y) => np.remainder(x, y),
      less: (x, y) => x.less(y),
      lessEqual: (x, y) => x.lessEqual(y),
      greater: (x, y) => x.greater(y),
      equal: (x, y) => x.equal(y),
      notEqual: (x, y) => x.notEqual(y),
      where: (x, y) => np.where(x.ref.less(y.ref), x, y),
    };
    const quotients: Ops = { div: (x, y) => x.div(y), floorDivide: (x, y) => np.floorDivide(x, y) };
    it("of two floats", () => checkBroadcasts({ ...arithmetic, ...quotients }, ["float32", "float32"], 25));
    it("of two integers", () => checkBroadcasts(arithmetic, ["int32", "int32"], 15));
    it("of two element types", async () => {
      await checkBroadcasts(arithmetic, ["int32", "float32"], 5);
      await checkBroadcasts(
        { add: arithmetic.add!, mul: arithmetic.mul!, equal: arithmetic.equal! },
        ["float32", "bool"],
        5,
      );
    });
    it("of an array and a JavaScript number", () =>
      fc.assert(
        fc.asyncProperty(shapes(3), choices, async (shape, choices) => {
          const ops: Ops = {
            add: (x) => x.add(3),
            mul: (x) => x.mul(2),
            less: (x) => x.less(1),
            equal: (x) => x.equal(2),
            where: (x) => np.where(x.ref.less(1), x, 7),
            max: (x) => np.maximum(x, 0),
          };
          await checkOps(ops, [{ shape, dtype: "int32", choices }]);
          await checkOps(ops, [{ shape, dtype: "float32", choices }]);
        }),
        { numRuns: runs(5) },
      ));
    it("of two booleans", () =>
      checkBroadcasts(
        {
          or: (x, y) => np.logicalOr(x, y),
          and: (x, y) => np.logicalAnd(x, y),
          not: (x, y) => np.logicalAnd(np.logicalNot(x), y),
          equal: (x, y) => x.equal(y),
          notEqual: (x, y) => x.notEqual(y),
          add: (x, y) => x.add(y),
          mul: (x, y) => x.mul(y),
        },
        ["bool", "bool"],
        8,
      ));

    it("passes NaN and infinities on", async () => {
      const data = new Float32Array([
        Number.NaN,
        Number.POSITIVE_INFINITY,
        Number.NEGATIVE_INFINITY,
        0,
        -0,
        1,
      ]);
      await agree(
        (x: JaxArray, y: JaxArray) => ({
          add: x.ref.add(y.ref),
          less: x.ref.less(y.ref),
          lessEqual: x.ref.lessEqual(y.ref),
          equal: x.ref.equal(y.ref),
          notEqual: x.ref.notEqual(y.ref),
          isnan: np.isnan(x.ref),
          exp: np.exp(x.ref),
          reciprocal: np.reciprocal(x.ref),
          where: np.where(x.ref.less(0), x, y),
        }),
        [floats([6, 1], data), floats([6], data)],
      );
    });

    it("select by a condition of its own shape", () =>
      fc.assert(
        fc.asyncProperty(
          broadcasts,
          choices,
          fc.nat(31),
          async ({ shape, a, b, ones, dropped, moves }, c, cOnes) => {
            await checkOps(
              { where: (condition, x, y) => np.where(condition, x.neg(), y) },
              [
                { shape: narrowed(shape, cOnes, 0), dtype: "bool", choices: a },
                { shape, dtype: "float32", choices: b },
                { shape: narrowed(shape, ones, dropped), dtype: "float32", choices: c },
              ],
              moves,
            );
          },
        ),
        { numRuns: runs(15) },
      ));
  });

  describe("negatives and reciprocals that are kept back", () => {
    const deferred: Ops = {
      "-x": (x, y) => x.neg().add(y.sub(1)),
      "x - y": (x, y) => x.add(y.neg()),
      "-x - y": (x, y) => x.neg().add(y.neg()),
      "-(-x)": (x, y) => x.neg().neg().add(y),
      "-x * y": (x, y) => x.neg().mul(y),
      "-x * -y": (x, y) => x.neg().mul(y.neg()),
      "x / y": (x, y) => x.mul(np.reciprocal(y)),
      "-x / y": (x, y) => x.neg().mul(np.reciprocal(y)),
      "1/x * 1/y": (x, y) => np.reciprocal(x).mul(np.reciprocal(y)),
      "1/(1/x) * -y": (x, y) => np.reciprocal(np.reciprocal(x)).mul(y.neg()),
      "1/(-x) + y": (x, y) => np.reciprocal(x.neg()).add(y),
      "-(1/x) + y": (x, y) => np.reciprocal(x).neg().add(y),
      "sum(-x) * y": (x, y) => np.sum(x.neg()).mul(y),
      "max(-x) - y": (x, y) => np.max(x.neg()).sub(y),
      "sum(1/x) * y": (x, y) => np.sum(np.reciprocal(x)).mul(y),
      "-x < 1/y": (x, y) => x.neg().less(np.reciprocal(y)),
      "max(-x, 1/y)": (x, y) => np.maximum(x.neg(), np.reciprocal(y)),
      "exp(-(x + y))": (x, y) => np.exp(x.add(y).neg()),
      "-x moved * y moved": (x, y) => np.ravel(x.neg()).mul(np.ravel(y).slice(0)),
    };
    it("agree in every combination", () => checkBroadcasts(deferred, ["float32", "float32"], 20));
    it("agree in products of matrices", () =>
      checkOps(
        {
          "-x y": (x, y) => np.dot(x.neg(), y),
          "x -y": (x, y) => np.dot(x, y.neg()),
          "-x -y": (x, y) => np.dot(x.neg(), y.neg()),
          "1/x -y": (x, y) => np.dot(np.reciprocal(x), y.neg()),
        },
        [
          { shape: [3, 4], dtype: "float32", choices: { order: 0, broadcast: 0, values: 1 } },
          { shape: [4, 2], dtype: "float32", choices: { order: 1, broadcast: 0, values: 2 } },
        ],
      ));
  });

  describe("reductions", () => {
    // A product of more than 13 integers up to 5 may pass 2^31, where backends differ.
    const reductions = (axes: number[], dtype: DType, count: number): Ops => ({
      sum: (x) => np.sum(x, axes),
      max: (x) => np.max(x, axes),
      min: (x) => np.min(x, axes),
      ...((dtype === "float32" || count <= 13) && { prod: (x: JaxArray) => np.prod(x, axes) }),
      "sum of neg": (x) => np.sum(x.neg(), axes),
      "mean, axes kept": (x) => np.mean(x.astype(np.float32), axes, { keepdims: true }),
    });
    it.each(["float32", "int32"] as const)("of %s over any axes", (dtype) =>
      fc.assert(
        fc.asyncProperty(shapes(5, 3), choices, fc.nat(31), moveChoices, (shape, choices, mask, moves) => {
          const axes = shape.map((_, axis) => axis).filter((axis) => (mask >> axis) & 1);
          const count = sizeOf(axes.map((axis) => shape[axis]!));
          return checkOps(reductions(axes, dtype, count), [{ shape, dtype, choices }], moves);
        }),
        { numRuns: runs(15) },
      ),
    );
    it("of booleans", () =>
      fc.assert(
        fc.asyncProperty(shapes(4, 3), choices, fc.nat(15), (shape, choices, mask) => {
          const axes = shape.map((_, axis) => axis).filter((axis) => (mask >> axis) & 1);
          const ops: Ops = {
            any: (x) => np.any(x, axes),
            all: (x) => np.all(x, axes),
            sum: (x) => np.sum(x, axes),
          };
          return checkOps(ops, [{ shape, dtype: "bool", choices }]);
        }),
        { numRuns: runs(5) },
      ));
    it("finds the first of the largest", () =>
      checkOps({ argmax: (x) => np.argmax(x, 1), argmin: (x) => np.argmin(x, 0) }, [
        { shape: [3, 4], dtype: "float32", choices: { order: 1, broadcast: 0, values: 3 } },
      ]));
  });

  describe("dot", () => {
    /** One kind for each axis: 0 both operands have it, 1 only the left, 2 only the right, 3 neither. */
    const kinds = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 4 });
    const check = (dtype: DType, numRuns: number) =>
      fc.assert(
        fc.asyncProperty(
          kinds,
          fc.integer({ min: 1, max: 4 }),
          fc.integer({ min: 0, max: 3 }),
          fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 4, maxLength: 4 }),
          choices,
          choices,
          moveChoices,
          async (kinds, contracted, contractedKind, sizes, a, b, moves) => {
            const all = [...kinds, contractedKind];
            const full = [...kinds.map((_, i) => sizes[i]!), contracted];
            const left = full.map((size, i) => (all[i]! >= 2 ? 1 : size));
            const right = full.map((size, i) => (all[i]! % 2 === 1 ? 1 : size));
            // Where an operand lacks the contracted axis it is broadcast along it.
            const wide = (x: JaxArray) => np.broadcastTo(x, x.shape.with(-1, contracted));
            const dot = (x: JaxArray, y: JaxArray) => np.vecdot(wide(x), wide(y));
            await checkOps(
              { dot, "dot of negatives": (x, y) => dot(x.neg(), np.reciprocal(y)) },
              [
                { shape: left, dtype, choices: a },
                { shape: right, dtype, choices: b },
              ],
              moves,
            );
          },
        ),
        { numRuns: runs(numRuns) },
      );
    it("of floats over all kinds of axes", () => check("float32", 40));

    it("multiplies matrices in all layouts", () =>
      fc.assert(
        fc.asyncProperty(choices, choices, fc.nat(15), moveChoices, async (a, b, ones, moves) => {
          const size = (bit: number, size: number) => ((ones >> bit) & 1 ? 1 : size);
          const operands = (left: number[], right: number[], dtype: DType) => [
            { shape: left, dtype, choices: a },
            { shape: right, dtype, choices: b },
          ];
          const matmul: Ops = { matmul: (x, y) => np.matmul(x, y) };
          const [left, right] = [
            [size(0, 2), 3, size(2, 4), 5],
            [size(1, 2), 3, 5, size(3, 2)],
          ];
          await checkOps(matmul, operands(left, right, "float32"), moves);
          await checkOps(matmul, operands(left, right, "int32"), moves);
          await checkOps({ dot: (x, y) => np.dot(x, y) }, operands(left, right.slice(2), "float32"), moves);
        }),
        { numRuns: runs(10) },
      ));
  });

  describe("selection and joining", () => {
    const cases = fc.record({
      shape: shapes(4),
      a: choices,
      b: choices,
      axis: fc.nat(3),
      n: fc.nat(1000),
      moves: moveChoices,
    });
    it.each(["float32", "int32", "bool"] as const)("shrink, flip, pad, split, concatenate of %s", (dtype) =>
      fc.assert(
        fc.asyncProperty(cases, async ({ shape, a, b, axis, n, moves }) => {
          const whole = shape.length === 0 ? [2] : shape;
          const at = axis % whole.length;
          const size = whole[at]!;
          const start = n % size;
          const end = start + 1 + (n % (size - start));
          const other = whole.with(at, 1 + (n % 3));
          const slice = whole.map((_, i) => (i === at ? [start, end] : [])) as [number, number][];
          const widths = whole.map((_, i) => [(n >> i) % 3, i % 2] as [number, number]);
          const flipped = n % 2 ? at : whole.map((_, i) => i);
          const ops: Ops = {
            shrink: (x) => x.slice(...slice),
            flip: (x) => np.flip(x, flipped),
            split: (x) => (size > 1 ? np.split(x, [1 + (n % (size - 1))], at)[n % 2]! : x),
            pad: (x) => np.pad(x, widths),
            concatenate: (x, y) => np.concatenate([x.ref, y, x], at),
          };
          await checkOps(
            ops,
            [
              { shape: whole, dtype, choices: a },
              { shape: other, dtype, choices: b },
            ],
            moves,
          );
        }),
        { numRuns: runs(12) },
      ),
    );

    it("joins arrays of two element types", () =>
      checkOps({ concatenate: (x, y) => np.concatenate([x, y], 0) }, [
        { shape: [2, 2], dtype: "int32", choices: { order: 0, broadcast: 0, values: 1 } },
        { shape: [1, 2], dtype: "float32", choices: { order: 0, broadcast: 0, values: 2 } },
      ]));
  });

  describe("gather and scatter", () => {
    /** Indices below `size`, of any layout. */
    const indices = (shape: number[], size: number, choices: Choices) => {
      const index = operand(shape, "int32", choices);
      return {
        ...index,
        stored: { ...index.stored, data: index.stored.data.map((n) => Math.abs(n) % size) },
      };
    };
    it.each(["float32", "int32"] as const)("along any axis of %s, with the gradient", (dtype) =>
      fc.assert(
        fc.asyncProperty(
          shapes(4),
          fc.nat(3),
          shapes(2, 3),
          choices,
          choices,
          moveChoices,
          async (rest, position, indexShape, a, b, moves) => {
            const axis = position % (rest.length + 1);
            const shape = rest.toSpliced(axis, 0, 3);
            const x = operand(shape, dtype, a);
            const index = indices(indexShape, 3, b);
            const take = (x: JaxArray, i: JaxArray) => {
              const taken = np.take(x, i, axis);
              return applyMoves(taken, planMoves(taken.shape, moves));
            };
            const weighted = (x: JaxArray, i: JaxArray) => {
              const taken = take(x, i);
              return np.sum(np.sin(taken.ref).mul(taken));
            };
            await agree(
              (stored: JaxArray, i: JaxArray) => {
                const [operand, at] = [x.view(stored), index.view(i)];
                if (dtype === "int32") return take(operand, at);
                return [take(operand.ref, at.ref), grad(weighted)(operand, at)];
              },
              [x.stored, index.stored],
            );
          },
        ),
        { numRuns: runs(15) },
      ),
    );

    it("along several axes at once, with the gradient", () =>
      fc.assert(
        fc.asyncProperty(
          shapes(3, 3),
          fc.nat(1),
          fc.nat(3),
          choices,
          choices,
          async (rest, first, ones, a, b) => {
            const shape = [3, ...rest, 3];
            const x = operand(shape, "float32", a);
            const row = indices([(ones & 1) + 1, 2], 3, b);
            const column = indices([2, (ones & 2) / 2 + 1], 3, { ...b, values: b.values + 1 });
            const pick = (x: JaxArray, i: JaxArray, j: JaxArray) => {
              const between = rest.map((): [] => []);
              return first % 2 ? x.slice(i, ...between, j) : np.moveaxis(x, -1, 1).slice(i, j);
            };
            await agree(
              (stored: JaxArray, i: JaxArray, j: JaxArray) => {
                const args = [x.view(stored), row.view(i), column.view(j)] as const;
                const weighted = (...args: [JaxArray, JaxArray, JaxArray]) => np.sum(np.sin(pick(...args)));
                return [pick(args[0].ref, args[1].ref, args[2].ref), grad(weighted)(...args)];
              },
              [x.stored, row.stored, column.stored],
            );
          },
        ),
        { numRuns: runs(12) },
      ));

    it("takes along an axis, as log-probabilities of tokens are taken", () =>
      agree(
        (x: JaxArray, i: JaxArray) => np.takeAlongAxis(x, i, -1),
        [filled([2, 3, 4], "float32", 1), ints([2, 3, 1], new Int32Array([0, 1, 2, 3, 2, 1]))],
      ));
  });
}

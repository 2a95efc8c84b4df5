/** @file Narrow matrices: what is kept of their numbers, and that programs compute with exactly those. */

import { nn, numpy as np, valueAndGrad } from "@jax-js/jax";
import { describe, expect, it } from "vitest";
import { normal, randomFor } from "../random.ts";
import { compile } from "./compile.ts";
import { type Narrow, narrowed } from "./narrow.ts";
import { onnxRuntime } from "./onnx/runtime.ts";
import type { JaxArray } from "./trace.ts";
import { type FloatTensor, floats, ints, sizeOf } from "./types.ts";

function random(shape: number[], ...address: (string | number)[]): FloatTensor {
  const draw = randomFor("narrow", ...address);
  return floats(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => normal(draw)),
  );
}

describe("a matrix that is kept narrow", () => {
  it("is in bfloat16 the nearest number, of two as near the even one", () => {
    const x = [1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -3e-40, 0, -0];
    const kept = narrowed(floats([1, 7], new Float32Array(x)), "bfloat16");
    expect([...kept.data]).toEqual([1, 1, 1 + 2 ** -6, 1 + 2 ** -7, -3 * 2 ** -133, 0, -0]);
    expect([...narrowed(kept, "bfloat16").data]).toEqual([...kept.data]);
  });

  it("is in 8 bits within half a step of each row's own, and rows of zeros stay", () => {
    const tensor = random([5, 40], "rows");
    tensor.data.fill(0, 80, 120);
    const { data } = narrowed(tensor, "int8");
    for (let m = 0; m < 5; m++) {
      const row = tensor.data.subarray(40 * m, 40 * (m + 1));
      const step = Math.max(...row.map(Math.abs)) / 127;
      row.forEach((x, n) => {
        expect(Math.abs(data[40 * m + n]! - x)).toBeLessThanOrEqual(step * 0.5001);
      });
    }
    expect(data.subarray(80, 120).every((x) => x === 0)).toBe(true);
  });
});

/** Rows that are looked up, products with the matrix and its transpose, and what is done to it element by element. */
function uses(matrix: JaxArray, x: JaxArray, rows: JaxArray) {
  const along = (w: JaxArray, x: JaxArray) => {
    const y = nn.silu(np.dot(x, w.ref.transpose()));
    return np.sum(np.square(np.dot(y, w)));
  };
  const [value, pull] = (valueAndGrad(along as never, { argnums: 1 } as never) as unknown as Along)(
    matrix.ref,
    x,
  );
  return {
    ...{ value, pull },
    looked: matrix.ref.slice(rows.ref),
    turned: matrix.ref.transpose().slice(rows),
    mixed: matrix.ref.transpose().reshape([6, 16]).mul(2),
    lengths: np.sum(np.square(matrix), -1),
  };
}
type Along = (w: JaxArray, x: JaxArray) => [JaxArray, JaxArray];

describe("ONNX Runtime", () => {
  it.each<Narrow>(["bfloat16", "int8"])("computes with what is kept in %s, to the bit", async (kept) => {
    const matrix = narrowed(random([12, 8], "matrix"), kept);
    const program = await compile(uses, [floats([12, 8]), floats([3, 8]), ints([2, 2])]);
    const given = [random([3, 8], "x"), ints([2, 2], new Int32Array([7, 0, 3, 7]))] as const;
    const narrow = await onnxRuntime.put(matrix, { asOperand: true });
    const wide = await onnxRuntime.put(matrix);
    expect((await onnxRuntime.get(narrow)).data).toEqual(matrix.data);
    const results = [];
    for (const handle of [narrow, wide]) {
      const result = await program.run(handle, ...given);
      const numbers = Object.entries(result).map(async ([name, one]) => [
        name,
        (await onnxRuntime.get(one)).data.slice(),
      ]);
      results.push(Object.fromEntries(await Promise.all(numbers)));
    }
    expect(results[0]).toEqual(results[1]);
    expect(results[0].looked).toEqual(
      new Float32Array([7, 0, 3, 7].flatMap((row) => [...matrix.data.subarray(8 * row, 8 * row + 8)])),
    );
    await program.close();
  });

  it.each<Narrow>(["bfloat16", "int8"])(
    "multiplies a large matrix in %s part by part, from both sides, by rows and by columns",
    async (kept) => {
      const [M, N] = [1_200, 1_000];
      const draw = randomFor("parts");
      const upTo = (most: number) => Math.floor((2 * most + 1) * draw()) - most;
      // Whole numbers, whose sums are exact in any order: every row has a scale of 1.
      const data = Float32Array.from({ length: M * N }, (_, i) => (i % N === 0 ? 127 : upTo(126)));
      const matrix = floats([M, N], data);
      const few = (rows: number, columns: number) =>
        floats(
          [rows, columns],
          Float32Array.from({ length: rows * columns }, () => upTo(1)),
        );
      const products = (w: JaxArray, x: JaxArray, y: JaxArray) => ({
        ...{ rows: np.dot(x.ref, w.ref.transpose()), columns: np.dot(y.ref, w.ref) },
        ...{ turnedRows: np.dot(w.ref, x.transpose()), turnedColumns: np.dot(w.transpose(), y.transpose()) },
      });
      const [x, y] = [few(3, N), few(5, M)];
      const program = await compile(products, [matrix, x, y]);
      const narrow = narrowed(matrix, kept);
      const numbers = narrow.data;
      expect(data.every((one, i) => one === numbers[i])).toBe(true);
      const handles = await program.run(await onnxRuntime.put(narrow, { asOperand: true }), x, y);
      const of = async (name: keyof typeof handles) => (await onnxRuntime.get(handles[name])).data;
      const wanted = (from: FloatTensor, along: "rows" | "columns") => {
        const [count, inner] = from.shape as [number, number];
        const outer = along === "rows" ? M : N;
        const result = new Float32Array(count * outer);
        for (let r = 0; r < count; r++)
          for (let o = 0; o < outer; o++)
            for (let i = 0; i < inner; i++)
              result[r * outer + o]! +=
                from.data[r * inner + i]! * data[along === "rows" ? o * N + i : i * N + o]!;
        return result;
      };
      const turned = (flat: Float32Array, rows: number) =>
        flat.map((_, i) => flat[(i % rows) * (flat.length / rows) + Math.floor(i / rows)]!);
      const [byRows, byColumns] = [wanted(x, "rows"), wanted(y, "columns")];
      expect(await of("rows")).toEqual(byRows);
      expect(await of("columns")).toEqual(byColumns);
      expect(await of("turnedRows")).toEqual(turned(byRows, 3));
      expect(await of("turnedColumns")).toEqual(turned(byColumns, 5));
      await program.close();
    },
  );
});

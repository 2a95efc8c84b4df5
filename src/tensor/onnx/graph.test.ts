import { grad, nn, numpy as np } from "@jax-js/jax";
import { beforeAll, describe, expect, it } from "vitest";
import { type JaxArray, startJax, trace } from "../trace.ts";
import { floats, type TensorSpec } from "../types.ts";
import { Graph } from "./graph.ts";
import { lower } from "./lower.ts";

beforeAll(startJax);

/** The lowered function as text. */
function lowered(fn: (...args: JaxArray[]) => unknown, ...specs: TensorSpec[]): string {
  return lower(trace(fn as (...args: never[]) => unknown, specs).program).toString();
}

describe("lowered programs", () => {
  it("attend over heads with one transpose for each operand and none inside", () => {
    const [B, T, H, K] = [2, 3, 2, 4];
    const heads = (x: JaxArray) => x.reshape([B, T, H, K]).transpose([0, 2, 1, 3]);
    const attention = (q: JaxArray, k: JaxArray, v: JaxArray) => {
      const scores = np.matmul(heads(q).mul(K ** -0.5), heads(k).transpose([0, 1, 3, 2]));
      const mixed = np.matmul(nn.softmax(scores, -1), heads(v));
      return mixed.transpose([0, 2, 1, 3]).reshape([B, T, H * K]);
    };
    const spec = floats([B, T, H * K]);
    expect(lowered(attention, spec, spec, spec)).toMatchInlineSnapshot(`
      "inputs  in0:float32[2,3,8], in1:float32[2,3,8], in2:float32[2,3,8]
      c0:float32[] = {0.5}
      c1:int64[4] = {2,3,2,4}
      c3:int64[3] = {4,3,4}
      c5:int64[2] = {12,3}
      c6:int64[1] = {1}
      c8:int64[2] = {12,1}
      c10:int64[3] = {4,3,3}
      c11:int64[4] = {2,2,3,4}
      c12:int64[3] = {2,3,8}
      t2:float32[2,3,8] = Mul(c0, in0)
      t3:float32[2,3,2,4] = Reshape(t2, c1)
      t4:float32[2,2,3,4] = Transpose(t3) {perm=0,2,1,3}
      t5:float32[4,3,4] = Reshape(t4, c3)
      t6:float32[2,3,2,4] = Reshape(in1, c1)
      t7:float32[2,2,3,4] = Transpose(t6) {perm=0,2,1,3}
      t8:float32[4,3,4] = Reshape(t7, c3)
      t9:float32[4,3,3] = FusedMatMul(t5, t8) {transA=0 transB=1}
      t11:float32[12,3] = Reshape(t9, c5)
      t12:float32[12] = ReduceMax(t11, c6) {keepdims=0}
      t14:float32[12,1] = Reshape(t12, c8)
      t15:float32[12,3] = Sub(t11, t14)
      t17:float32[12,3] = Exp(t15)
      t19:float32[12] = ReduceSum(t17, c6) {keepdims=0}
      t21:float32[12] = Reciprocal(t19)
      t23:float32[12,1] = Reshape(t21, c8)
      t24:float32[12,3] = Mul(t17, t23)
      t26:float32[4,3,3] = Reshape(t24, c10)
      t27:float32[2,3,2,4] = Reshape(in2, c1)
      t28:float32[2,2,3,4] = Transpose(t27) {perm=0,2,1,3}
      t29:float32[4,3,4] = Reshape(t28, c3)
      t30:float32[4,3,4] = MatMul(t26, t29)
      t31:float32[2,2,3,4] = Reshape(t30, c11)
      t32:float32[2,3,2,4] = Transpose(t31) {perm=0,2,1,3}
      t33:float32[2,3,8] = Reshape(t32, c12)
      outputs t33:float32[2,3,8]"
    `);
  });

  it("take the gradient of a weight as a product with a transposed operand, without a transpose", () => {
    const loss = (w: JaxArray, x: JaxArray) => np.sum(np.square(np.dot(x, w)));
    expect(lowered(grad(loss), floats([4, 5]), floats([2, 3, 4]))).toMatchInlineSnapshot(`
      "inputs  in0:float32[4,5], in1:float32[2,3,4]
      c0:int64[2] = {6,4}
      c1:float32[] = {1}
      t0:float32[6,4] = Reshape(in1, c0)
      t1:float32[6,5] = MatMul(t0, in0)
      t4:float32[6,5] = Mul(c1, t1)
      t6:float32[6,5] = Add(t4, t4)
      t8:float32[4,5] = FusedMatMul(t0, t6) {transA=1 transB=0}
      outputs t8:float32[4,5]"
    `);
  });

  it("broadcast and permute without moving anything, and subtract where jax-js adds a negative", () => {
    const centred = (x: JaxArray) => x.ref.sub(np.mean(x, 0, { keepdims: true })).transpose([1, 0]);
    expect(lowered((x) => np.sum(centred(x), 1), floats([3, 4]))).toMatchInlineSnapshot(`
      "inputs  in0:float32[3,4]
      c0:int64[1] = {0}
      c1:float32[] = {0.3333333432674408}
      t0:float32[4] = ReduceSum(in0, c0) {keepdims=0}
      t2:float32[4] = Mul(c1, t0)
      t4:float32[3,4] = Sub(in0, t2)
      t5:float32[4] = ReduceSum(t4, c0) {keepdims=0}
      outputs t5:float32[4]"
    `);
  });
});

describe("Graph", () => {
  it("shares equal operators, whatever the order of operands that may be exchanged, and equal constants", () => {
    const graph = new Graph();
    const [a, b] = [graph.input([2], "float32"), graph.input([2], "float32")];
    expect(graph.apply("Add", [a, b], [2])).toBe(graph.apply("Add", [b, a], [2]));
    expect(graph.apply("Sub", [a, b], [2])).not.toBe(graph.apply("Sub", [b, a], [2]));
    expect(graph.scalar(1, "float32")).toBe(graph.scalar(1, "float32"));
    expect(graph.scalar(0, "float32")).not.toBe(graph.scalar(-0, "float32"));
    expect(graph.scalar(1, "float32")).not.toBe(graph.scalar(1, "int32"));
  });

  it("reshapes from the source, and not at all where the shape is there already", () => {
    const graph = new Graph();
    const x = graph.input([2, 6], "float32");
    const flat = graph.reshape(x, [12]);
    expect(graph.reshape(graph.reshape(flat, [3, 4]), [2, 6])).toBe(x);
    expect(graph.reshape(flat, [12])).toBe(flat);
    expect(() => graph.reshape(x, [5])).toThrow("reshape of [2,6] to [5]");
  });

  it("drops what no output needs", () => {
    const graph = new Graph();
    const x = graph.input([2], "float32");
    graph.apply("Mul", [x, graph.scalar(3, "float32")], [2]);
    graph.outputs.push(graph.apply("Add", [x, graph.scalar(1, "float32")], [2]));
    graph.prune();
    expect(graph.toString()).toMatchInlineSnapshot(`
      "inputs  in0:float32[2]
      c1:float32[] = {1}
      t1:float32[2] = Add(c1, in0)
      outputs t1:float32[2]"
    `);
  });
});

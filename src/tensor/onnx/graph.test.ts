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
      "inputs  in0:float32[2,3,8], in1:float32[2,3,8], in2:float32[2,3,8], in0_2x3x2x4:float32[2,3,2,4], in1_2x3x2x4:float32[2,3,2,4], in2_2x3x2x4:float32[2,3,2,4]
      c0:float32[] = {0.5}
      c2:int64[4] = {2,3,2,4}
      c3:int64[3] = {4,3,4}
      c5:int64[2] = {12,3}
      c6:int64[1] = {1}
      c8:int64[2] = {12,1}
      c10:int64[3] = {4,3,3}
      c11:int64[4] = {2,2,3,4}
      t1:float32[2,3,8] = Mul(c0, in0)
      t2:float32[2,3,2,4] = Reshape(t1, c2)
      t3:float32[2,2,3,4] = Transpose(t2) {perm=0,2,1,3}
      t4:float32[4,3,4] = Reshape(t3, c3)
      t5:float32[2,2,3,4] = Transpose(in1_2x3x2x4) {perm=0,2,1,3}
      t6:float32[4,3,4] = Reshape(t5, c3)
      t7:float32[4,3,3] = FusedMatMul(t4, t6) {transA=0 transB=1}
      t9:float32[12,3] = Reshape(t7, c5)
      t10:float32[12] = ReduceMax(t9, c6) {keepdims=0}
      t12:float32[12,1] = Reshape(t10, c8)
      t13:float32[12,3] = Sub(t9, t12)
      t15:float32[12,3] = Exp(t13)
      t17:float32[12] = ReduceSum(t15, c6) {keepdims=0}
      t19:float32[12] = Reciprocal(t17)
      t21:float32[12,1] = Reshape(t19, c8)
      t22:float32[12,3] = Mul(t15, t21)
      t24:float32[4,3,3] = Reshape(t22, c10)
      t25:float32[2,2,3,4] = Transpose(in2_2x3x2x4) {perm=0,2,1,3}
      t26:float32[4,3,4] = Reshape(t25, c3)
      t27:float32[4,3,4] = MatMul(t24, t26)
      t28:float32[2,2,3,4] = Reshape(t27, c11)
      t29:float32[2,3,2,4] = Transpose(t28) {perm=0,2,1,3}
      outputs t29:float32[2,3,2,4]"
    `);
  });

  it("take the gradient of a weight as a product with a transposed operand, without a transpose", () => {
    const loss = (w: JaxArray, x: JaxArray) => np.sum(np.square(np.dot(x, w)));
    expect(lowered(grad(loss), floats([4, 5]), floats([2, 3, 4]))).toMatchInlineSnapshot(`
      "inputs  in0:float32[4,5], in1:float32[2,3,4], in1_6x4:float32[6,4]
      c0:float32[] = {1}
      t0:float32[6,5] = MatMul(in1_6x4, in0)
      t3:float32[6,5] = Mul(c0, t0)
      t5:float32[6,5] = Add(t3, t3)
      t7:float32[4,5] = FusedMatMul(in1_6x4, t5) {transA=1 transB=0}
      outputs t7:float32[4,5]"
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

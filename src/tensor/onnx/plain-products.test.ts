/** @file Products by ONNX's own operators are those of the fused one. */

import { InferenceSession, Tensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { encodeModel } from "./encode.ts";
import { Graph } from "./graph.ts";
import { withPlainProducts } from "./plain-products.ts";

const cases = [[], [3]].flatMap((batch) =>
  [0, 1].flatMap((transA) => [0, 1].map((transB) => ({ batch, transA, transB }))),
);

it.each(cases)("of matrices in $batch, transposed $transA and $transB", async ({ batch, transA, transB }) => {
  const shapes = [transA ? [5, 4] : [4, 5], transB ? [6, 5] : [5, 6]].map((matrix) => [...batch, ...matrix]);
  const made = () => {
    const graph = new Graph();
    const inputs = shapes.map((shape) => graph.input(shape, "float32"));
    graph.outputs.push(graph.apply("FusedMatMul", inputs, [...batch, 4, 6], "float32", { transA, transB }));
    return graph;
  };
  const run = async (graph: Graph) => {
    const session = await InferenceSession.create(encodeModel(graph));
    const feeds = graph.inputs.map(({ name, shape }) => {
      const count = shape.reduce((product, size) => product * size, 1);
      const data = Float32Array.from({ length: count }, (_, i) => Math.sin(3 * i + count));
      return [name, new Tensor("float32", data, shape)] as const;
    });
    const results = await session.run(Object.fromEntries(feeds));
    return [...(results[graph.outputs[0]!.name]!.data as Float32Array)];
  };
  const plain = withPlainProducts(made());
  expect(plain.nodes.map(({ op }) => op)).not.toContain("FusedMatMul");
  const [ours, theirs] = [await run(plain), await run(made())];
  expect(ours.length).toBe(theirs.length);
  ours.forEach((value, i) => {
    expect(value).toBeCloseTo(theirs[i]!, 5);
  });
});

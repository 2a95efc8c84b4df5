/** @file Products of transposed matrices by ONNX's own operators, for what has no shader for `FusedMatMul`: it would send them to the processor and back. */

import type { Graph, Node, Value } from "./graph.ts";

/** Changes a graph in place, as the last thing that is done to it. */
export function withPlainProducts(graph: Graph): Graph {
  const nodes = graph.nodes.flatMap((node) => (node.op === "FusedMatMul" ? plain(graph, node) : [node]));
  graph.nodes.splice(0, graph.nodes.length, ...nodes);
  return graph;
}

function plain(graph: Graph, { inputs, output, attributes }: Node): Node[] {
  const flags = [attributes.transA, attributes.transB].map((flag) => Number(flag ?? 0));
  const domain = "" as const;
  if (output.shape.length === 2)
    return [{ op: "Gemm", domain, inputs, output, attributes: { transA: flags[0]!, transB: flags[1]! } }];
  // Of batches there is no such operator: what lies transposed is moved.
  const moved = inputs.map((name, i) => {
    const given = graph.value(name);
    if (flags[i] === 0) return { value: given, nodes: [] };
    const perm = given.shape.map((_, axis) => axis);
    perm.push(...perm.splice(-2).reverse());
    const shape = perm.map((axis) => given.shape[axis]!);
    const value: Value = { name: `${output.name}_${i}`, shape, dtype: given.dtype };
    return {
      value,
      nodes: [{ op: "Transpose", domain, inputs: [name], output: value, attributes: { perm } }],
    };
  });
  const names = moved.map(({ value }) => value.name);
  return [
    ...moved.flatMap(({ nodes }) => nodes),
    { op: "MatMul", domain, inputs: names, output, attributes: {} },
  ];
}

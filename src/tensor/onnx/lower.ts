/** @file From a program to an ONNX graph. */

import type { Binder, Operand, Program } from "../program.ts";
import { Graph, type Value } from "./graph.ts";
import { densify } from "./layout.ts";
import { type Lowered, rules, settle } from "./rules.ts";
import { denseView } from "./view.ts";

/**
 * Lowers a program to a graph with the same inputs and outputs, in their order. The graph may take and give their elements under
 * other shapes.
 *
 * @throws Error that names the primitive, where one has no rule
 */
export function lower(program: Program): Graph {
  const graph = new Graph();
  const known = new Map<number, Lowered>();
  const define = ({ id, shape, dtype }: Binder, { name }: Value) => {
    known.set(id, { view: denseView(name, shape), dtype });
  };
  for (const [index, input] of program.inputs.entries())
    define(input, graph.input(input.shape, input.dtype, index));
  for (const constant of program.constants)
    define(constant, graph.constant(constant.data, constant.shape, constant.dtype));
  const lowered = (operand: Operand): Lowered => {
    if ("id" in operand) return known.get(operand.id)!;
    const { value, dtype } = operand;
    return { view: { base: graph.scalar(value, dtype).name, axes: [] }, dtype };
  };
  for (const { primitive, inputs, params, outputs } of program.equations) {
    const rule = rules[primitive];
    if (rule === undefined) throw new Error(`tensor: no ONNX rule for jax-js primitive "${primitive}"`);
    const types = outputs.map(({ dtype }) => dtype);
    const results = rule(graph, inputs.map(lowered), params, types);
    outputs.forEach(({ id }, i) => {
      known.set(id, results[i]!);
    });
  }
  for (const out of program.outputs)
    graph.outputs.push(asOutput(graph, densify(graph, settle(graph, lowered(out)))));
  graph.prune();
  return graph;
}

/** ONNX wants outputs to be made by an operator. One that only gives another shape would copy them. */
function asOutput(graph: Graph, given: Value): Value {
  const value = graph.beforeReshape(given);
  const made = ![...graph.inputs, ...graph.constants].some(({ name }) => name === value.name);
  return made ? value : graph.apply("Identity", [given], given.shape);
}

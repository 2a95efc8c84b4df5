/** @file From a program to an ONNX graph. */

import type { Narrow } from "../narrow.ts";
import { calledBy, type Operand, type Program } from "../program.ts";
import { Graph, type Value } from "./graph.ts";
import { densify } from "./layout.ts";
import { narrowInput } from "./narrow.ts";
import { type Lowered, rules, settle } from "./rules.ts";
import { denseView } from "./view.ts";

/**
 * Lowers a program to a graph with the same inputs and outputs, in their order. The graph may take and give their elements under
 * other shapes.
 *
 * @param kept how inputs are kept that are not fed as float32, by their numbers
 * @throws Error that names the primitive, where one has no rule
 */
export function lower(program: Program, kept: readonly (Narrow | undefined)[] = []): Graph {
  const graph = new Graph();
  const inputs = program.inputs.map(({ shape, dtype }, index): Lowered => {
    const as = kept[index];
    if (as) return { ...narrowInput(graph, { shape }, index, as), dtype };
    return dense(graph.input(shape, dtype, index));
  });
  for (const result of lowerInto(graph, program, inputs))
    graph.outputs.push(asOutput(graph, densify(graph, settle(graph, result))));
  graph.prune();
  return graph;
}

/** What a program gives for some arrays of the graph. Those that it calls become part of it. */
function lowerInto(graph: Graph, program: Program, inputs: readonly Lowered[]): Lowered[] {
  const known = new Map(program.inputs.map(({ id }, i) => [id, inputs[i]!]));
  for (const { id, data, shape, dtype } of program.constants)
    known.set(id, dense(graph.constant(data, shape, dtype)));
  const lowered = (operand: Operand): Lowered => {
    if ("id" in operand) return known.get(operand.id)!;
    const { value, dtype } = operand;
    return { view: { base: graph.scalar(value, dtype).name, axes: [] }, dtype };
  };
  for (const equation of program.equations) {
    const { primitive, params, outputs } = equation;
    const args = equation.inputs.map(lowered);
    const called = calledBy(equation);
    const rule = rules[primitive];
    if (!called && rule === undefined)
      throw new Error(`tensor: no ONNX rule for jax-js primitive "${primitive}"`);
    const types = outputs.map(({ dtype }) => dtype);
    const results = called ? lowerInto(graph, called, args) : rule!(graph, args, params, types);
    outputs.forEach(({ id }, i) => {
      known.set(id, results[i]!);
    });
  }
  return program.outputs.map(lowered);
}

function dense({ name, shape, dtype }: Value): Lowered {
  return { view: denseView(name, shape), dtype };
}

/** ONNX wants outputs to be made by an operator. One that only gives another shape would copy them. */
function asOutput(graph: Graph, given: Value): Value {
  const value = graph.beforeReshape(given);
  const made = ![...graph.inputs, ...graph.constants].some(({ name }) => name === value.name);
  return made ? value : graph.apply("Identity", [given], given.shape);
}

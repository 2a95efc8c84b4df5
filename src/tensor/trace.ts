/** @file From a jax-js function to a graph: trace, flatten, lower. */

import { defaultDevice, init, type JsTree, type JsTreeDef, makeJaxpr, numpy as np, tree } from "@jax-js/jax";
import { type ElementType, Graph, type Value } from "./graph.ts";
import { densify } from "./layout.ts";
import { castTo, type Lowered, rules, settle } from "./lower.ts";
import { operandTypes } from "./promote.ts";
import type { DType, TensorSpec, Tree } from "./types.ts";
import { denseView } from "./view.ts";

/** Whatever jax-js calls an array. */
export type JaxArray = np.Array;

let ready: Promise<unknown> | undefined;

/** Starts jax-js on its WebAssembly backend, once. */
export async function startJax(): Promise<void> {
  ready ??= init("wasm").then(() => defaultDevice("wasm"));
  await ready;
}

export interface Traced {
  graph: Graph;
  /** How the function's result is nested. */
  structure: JsTreeDef;
}

/** The element types that jax-js traces programs with. */
const jaxTypes: Record<DType, np.DType> = { float32: np.float32, int32: np.int32, bool: np.bool };

/**
 * Traces a function of trees of arrays and lowers it to a graph whose inputs and outputs are the leaves in jax-js's
 * order (`startJax` must have resolved).
 *
 * @throws Error that names the primitive, where one has no rule; where an array has no elements; where a result has an
 *   element type that programs do not give.
 */
export function trace(fn: (...args: never[]) => unknown, specs: readonly Tree<TensorSpec>[]): Traced {
  const leaves = specs.map((spec) =>
    mapTree(spec, ({ shape, dtype }) => {
      refuseEmpty("an input", shape);
      return np.zeros([...shape], { dtype: jaxTypes[dtype] });
    }),
  );
  const { jaxpr: closed, treedef } = makeJaxpr(fn as (...args: JsTree<JaxArray>[]) => JsTree<JaxArray>)(
    ...(leaves as JsTree<JaxArray>[]),
  );
  const { inBinders, eqns, outs } = closed.jaxpr.flatten().simplify();

  const graph = new Graph();
  const known = new Map<object, Lowered>();
  inBinders.forEach(({ aval }, i) => {
    const dtype = aval.dtype as ElementType;
    const constant = closed.consts[i];
    const value = constant
      ? graph.constant(dataOf(constant.ref as JaxArray), aval.shape, dtype)
      : graph.input(aval.shape, dtype);
    known.set(inBinders[i]!, { view: denseView(value.name, aval.shape), dtype });
  });
  const lowered = (atom: (typeof outs)[number]): Lowered => {
    if (!("value" in atom)) return known.get(atom)!;
    const dtype = atom.aval.dtype as ElementType;
    return { view: { base: graph.scalar(Number(atom.value), dtype).name, axes: [] }, dtype };
  };
  for (const { primitive, inputs, params, outBinders } of eqns) {
    const rule = rules[primitive];
    if (rule === undefined) throw new Error(`tensor: no ONNX rule for jax-js primitive "${primitive}"`);
    for (const { aval } of outBinders) refuseEmpty(`the result of jax-js's "${primitive}"`, aval.shape);
    const types = outBinders.map((binder) => binder.aval.dtype as ElementType);
    const operands = operandTypes(
      primitive,
      inputs.map((atom) => atom.aval),
    ).map((dtype, i) => castTo(graph, lowered(inputs[i]!), dtype));
    const results = rule(graph, operands, params, types);
    outBinders.forEach((binder, i) => {
      known.set(binder, results[i]!);
    });
  }
  for (const out of outs) {
    if (!(out.aval.dtype in jaxTypes))
      throw new Error(
        `tensor: a program gives float32, int32 or bool, not ${out.aval.dtype}; convert it (astype)`,
      );
    graph.outputs.push(asOutput(graph, densify(graph, settle(graph, lowered(out)))));
  }
  graph.prune();
  closed.dispose();
  return { graph, structure: treedef };
}

/** Views tell size 1 and broadcast by stride, which arrays without elements do not have. */
function refuseEmpty(what: string, shape: readonly number[]): void {
  if (shape.includes(0))
    throw new Error(
      `tensor: ${what} has shape [${shape}]; every axis of an array in a program needs at least one element`,
    );
}

/** ONNX wants outputs to be made by an operator. */
function asOutput(graph: Graph, value: Value): Value {
  const made =
    !graph.inputs.includes(value) && !graph.constants.some((constant) => constant.name === value.name);
  return made ? value : graph.apply("Identity", [value], value.shape);
}

function dataOf(array: JaxArray): Float32Array | Int32Array | Uint8Array {
  const data = array.dataSync();
  return array.dtype === np.bool ? Uint8Array.from(data as Int32Array) : (data as Float32Array | Int32Array);
}

/** Applies a function to every specification or tensor of a tree. */
export function mapTree<A extends TensorSpec, B>(value: Tree<A>, fn: (leaf: A) => B): Tree<B> {
  if (Array.isArray(value)) return value.map((item) => mapTree(item, fn));
  if (isLeaf(value)) return fn(value);
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, mapTree(item as Tree<A>, fn)]),
  );
}

function isLeaf<A extends TensorSpec>(value: Tree<A>): value is A {
  return "dtype" in (value as object) && "shape" in (value as object);
}

/** Puts leaves back into the nesting of a result. */
export function nest<T>(structure: JsTreeDef, leaves: T[]): Tree<T> {
  return tree.unflatten(structure, leaves as never[]) as Tree<T>;
}

/** @file From a jax-js function to a program: trace, flatten, and write down what jax-js leaves implicit. */

import { defaultDevice, init, type JsTree, type JsTreeDef, makeJaxpr, numpy as np, tree } from "@jax-js/jax";
import type { Binder, Constant, Equation, Operand, Program, ProgramType } from "./program.ts";
import { operandTypes } from "./promote.ts";
import type { DType, TensorSpec, Tree } from "./types.ts";

/** Whatever jax-js calls an array. */
export type JaxArray = np.Array;

let ready: Promise<unknown> | undefined;

/** Starts jax-js on its WebAssembly backend, once. */
export async function startJax(): Promise<void> {
  ready ??= init("wasm").then(() => defaultDevice("wasm"));
  await ready;
}

export interface Traced {
  program: Program;
  /** How the function's result is nested. */
  structure: JsTreeDef;
}

/** The element types that jax-js traces programs with. */
const jaxTypes: Record<DType, np.DType> = { float32: np.float32, int32: np.int32, bool: np.bool };

/**
 * Traces a function of trees of arrays to a program whose inputs and outputs are the leaves in jax-js's order (`startJax`
 * must have resolved).
 *
 * @throws Error where an array has no elements; where a result has an element type that programs do not give.
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

  let count = 0;
  const binder = (shape: readonly number[], dtype: ProgramType): Binder => ({ id: count++, shape, dtype });
  const known = new Map<object, Binder>();
  const bind = (variable: (typeof inBinders)[number]): Binder => {
    const bound = binder(variable.aval.shape, variable.aval.dtype as ProgramType);
    known.set(variable, bound);
    return bound;
  };
  const inputs: (Binder & TensorSpec)[] = [];
  const constants: Constant[] = [];
  inBinders.forEach((variable, i) => {
    const bound = bind(variable);
    const constant = closed.consts[i];
    if (constant) constants.push({ ...bound, data: dataOf(constant.ref as JaxArray) });
    else inputs.push(bound as Binder & TensorSpec);
  });
  const operand = (atom: (typeof outs)[number]): Operand =>
    "value" in atom ? { value: Number(atom.value), dtype: atom.aval.dtype as ProgramType } : known.get(atom)!;

  const equations: Equation[] = [];
  const cast = (from: Operand, dtype: ProgramType): Operand => {
    if (from.dtype === dtype) return from;
    if (!("id" in from)) return { value: from.value, dtype };
    const output = binder(from.shape, dtype);
    equations.push({ primitive: "cast", inputs: [from], params: { dtype }, outputs: [output] });
    return output;
  };
  for (const { primitive, inputs: atoms, params, outBinders } of eqns) {
    for (const { aval } of outBinders) refuseEmpty(`the result of jax-js's "${primitive}"`, aval.shape);
    const types = operandTypes(
      primitive,
      atoms.map((atom) => atom.aval),
    );
    const operands = atoms.map((atom, i) => cast(operand(atom), types[i]!));
    equations.push({ primitive, inputs: operands, params, outputs: outBinders.map(bind) });
  }
  const outputs = outs.map((out) => {
    if (!(out.aval.dtype in jaxTypes))
      throw new Error(
        `tensor: a program gives float32, int32 or bool, not ${out.aval.dtype}; convert it (astype)`,
      );
    return operand(out) as Operand & { dtype: DType };
  });
  closed.dispose();
  return { program: { inputs, constants, equations, outputs }, structure: treedef };
}

/** Views tell size 1 and broadcast by stride, which arrays without elements do not have. */
function refuseEmpty(what: string, shape: readonly number[]): void {
  if (shape.includes(0))
    throw new Error(
      `tensor: ${what} has shape [${shape}]; every axis of an array in a program needs at least one element`,
    );
}

function dataOf(array: JaxArray): Constant["data"] {
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

/** Is it a leaf of a tree of tensors, and not a record of them? */
export function isLeaf<A extends TensorSpec>(value: Tree<A>): value is A {
  return "dtype" in (value as object) && "shape" in (value as object);
}

/** The leaves of a result, in the order in which `nest` takes them. */
export function leavesOf<T>(value: Tree<T>): T[] {
  return tree.leaves(value as JsTree<T>);
}

/** How a result is nested. */
export function structureOf(value: Tree<unknown>): JsTreeDef {
  return tree.structure(value as JsTree<unknown>);
}

/** Puts leaves back into the nesting of a result. */
export function nest<T>(structure: JsTreeDef, leaves: T[]): Tree<T> {
  return tree.unflatten(structure, leaves as never[]) as Tree<T>;
}

/** @file A program as plain data: what a function computes, primitive by primitive, for any runtime to run. */

import type { DType, TensorSpec } from "./types.ts";

/** Element types inside programs; they take and give those of `DType` only. */
export type ProgramType = DType | "uint32";

/** An array of a program: an input, a constant, or what an equation makes. */
export interface Binder {
  /** Its number in the program. */
  id: number;
  shape: readonly number[];
  dtype: ProgramType;
}

/** What an equation reads: an array by its number, or a number without axes. */
export type Operand = Binder | { value: number; dtype: ProgramType };

/** One step: a primitive of jax-js, by its name and with its parameters; or `CALL`. */
export interface Equation {
  primitive: string;
  inputs: readonly Operand[];
  // biome-ignore lint/suspicious/noExplicitAny: parameters differ by primitive, and jax-js does not export their types.
  params: Record<string, any>;
  outputs: readonly Binder[];
}

/** What another program gives for some arrays: the one primitive that is not jax-js's. */
export const CALL = "call";

/** The program that an equation calls. A layer's is called once for each layer. */
export function calledBy({ primitive, params }: Equation): Program | undefined {
  return primitive === CALL ? params.program : undefined;
}

/** An array that is part of the program. */
export interface Constant extends Binder {
  data: Float32Array | Int32Array | Uint8Array;
}

/**
 * Equations in an order in which each reads only what comes before it. Broadcasts are equations of their own, so that a
 * runtime has to keep them lazy: written out they take more memory and time than all else.
 *
 * Operands have the element type that their primitive computes in: what jax-js promotes is cast by equations of its own.
 */
export interface Program {
  inputs: readonly (Binder & TensorSpec)[];
  constants: readonly Constant[];
  equations: readonly Equation[];
  outputs: readonly (Operand & { dtype: DType })[];
}

/** The shape of an operand. */
export function shapeOfOperand(operand: Operand): readonly number[] {
  return "id" in operand ? operand.shape : [];
}

/** @file jax-js's promotion of element types: its primitives take operands of different types, ONNX's do not. */

import type { ProgramType } from "./program.ts";

/** What jax-js knows of an operand's type; `weakType` marks those that came from JavaScript numbers. */
export interface OperandType {
  dtype: string;
  weakType: boolean;
}

const ranks: ProgramType[] = ["bool", "uint32", "int32", "float32"];

/** Primitives that promote, with the position of the first operand that takes part. */
const promoting: Record<string, number> = {
  add: 0,
  mul: 0,
  idiv: 0,
  mod: 0,
  min: 0,
  max: 0,
  compare: 0,
  dot: 0,
  concatenate: 0,
  where: 1,
};

/** The element type that each operand of a primitive must be cast to. */
export function operandTypes(primitive: string, operands: readonly OperandType[]): ProgramType[] {
  const first = promoting[primitive] ?? operands.length;
  const taking = operands.slice(first);
  const common = taking.length > 0 ? (taking.reduce(promote).dtype as ProgramType) : undefined;
  return operands.map((operand, i) => (i < first ? (operand.dtype as ProgramType) : common!));
}

/** A weak type gives way to a strong one, which is then at least an integer (`promoteAvals` in jax-js). */
function promote(a: OperandType, b: OperandType): OperandType {
  const weakType = a.weakType && b.weakType;
  if (a.weakType === b.weakType) return { dtype: wider(a.dtype, b.dtype), weakType };
  return { dtype: wider(a.weakType ? b.dtype : a.dtype, "uint32"), weakType };
}

function wider(a: string, b: string): string {
  return ranks.indexOf(a as ProgramType) >= ranks.indexOf(b as ProgramType) ? a : b;
}

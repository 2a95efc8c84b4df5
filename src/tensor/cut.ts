/** @file A program cut in two: what can be computed before some of its inputs are there, and the rest. */

import type { Binder, Equation, Operand, Program } from "./program.ts";
import type { DType, TensorSpec } from "./types.ts";

/** The halves of a program. */
export interface Halves {
  /** Takes all inputs but the late ones; gives the outputs that were asked for, and then what the second half needs. */
  first: Program;
  /** Takes all inputs, and then what the first half kept; gives the other outputs. */
  second: Program;
  /** What is kept from the first half for the second. */
  kept: TensorSpec[];
}

/** They move elements, or read them under another shape: done again in the second half, not kept. */
const MOVING = ["broadcast", "reshape", "transpose", "stop_gradient", "neg", "cast"];

/** As cheap to do again, element by element, as to write and read: where all that they need is kept, they are done again. */
const CHEAP = new Set([...MOVING, "add", "mul", "min", "max", "reciprocal", "compare", "where"]);

/**
 * Cuts a program. Equations on which no output depends are in neither half.
 *
 * @param early so many of the inputs, from the first on, are there for the first half
 * @param given the outputs, by index, that the first half gives
 * @throws Error where an early output depends on a late input
 */
export function cut(program: Program, early: number, given: readonly number[]): Halves {
  const makers = new Map<number, Equation>();
  for (const equation of program.equations) for (const { id } of equation.outputs) makers.set(id, equation);
  const idsOf = (inputs: Program["inputs"]) => new Set(inputs.map(({ id }) => id));
  const isLate = idsOf(program.inputs.slice(early));
  /** Depends on an input that is there early. What depends on none is not worth keeping. */
  const isEarly = idsOf(program.inputs.slice(0, early));
  for (const { inputs, outputs } of program.equations) {
    const depends = (on: ReadonlySet<number>) => inputs.some((one) => "id" in one && on.has(one.id));
    for (const group of [isLate, isEarly]) if (depends(group)) for (const { id } of outputs) group.add(id);
  }
  const earlyOutputs = given.map((i) => program.outputs[i]!);
  for (const output of earlyOutputs)
    if ("id" in output && isLate.has(output.id))
      throw new Error("tensor: a program cannot be cut where an early output depends on a late input");

  const rest = program.outputs.filter((_, i) => !given.includes(i));
  const crossing = new Map<number, Binder>();
  needed(program, rest, makers, (operand) => {
    const maker = makers.get(operand.id);
    if (maker === undefined || isLate.has(operand.id) || !isEarly.has(operand.id)) return false;
    if (MOVING.includes(maker.primitive) || operand.dtype === "uint32") return false;
    crossing.set(operand.id, operand);
    return true;
  });
  const kept = withoutCheap(crossing, makers, isEarly);
  const second = needed(program, rest, makers, ({ id }) => kept.has(id));
  const keptOutputs = [...kept.values()] as (Binder & { dtype: DType })[];
  const first = needed(program, [...earlyOutputs, ...keptOutputs], makers, () => false);
  return {
    first: { ...first, inputs: program.inputs.slice(0, early) },
    second: { ...second, inputs: [...program.inputs, ...keptOutputs] },
    kept: keptOutputs.map(({ shape, dtype }) => ({ shape, dtype })),
  };
}

/** What has to be kept so that everything that crosses is there: what is made last is given up first. */
function withoutCheap(
  crossing: ReadonlyMap<number, Binder>,
  makers: ReadonlyMap<number, Equation>,
  isEarly: ReadonlySet<number>,
): Map<number, Binder> {
  const kept = new Map(crossing);
  /** Can it be had from what is kept? */
  const canMake = (operand: Operand): boolean => {
    if (!("id" in operand) || kept.has(operand.id) || !isEarly.has(operand.id)) return true;
    const maker = makers.get(operand.id);
    return maker === undefined || (CHEAP.has(maker.primitive) && maker.inputs.every(canMake));
  };
  for (const id of [...crossing.keys()].sort((a, b) => b - a)) {
    const binder = kept.get(id)!;
    kept.delete(id);
    if (!canMake(binder)) kept.set(id, binder);
  }
  return kept;
}

/** The part of a program that some outputs need, without what is known otherwise. */
function needed(
  program: Program,
  outputs: Program["outputs"],
  makers: ReadonlyMap<number, Equation>,
  isGiven: (operand: Binder) => boolean,
): Program {
  const ids = new Set<number>();
  const equations = new Set<Equation>();
  const stack: Operand[] = [...outputs];
  while (stack.length > 0) {
    const operand = stack.pop()!;
    if (!("id" in operand) || ids.has(operand.id)) continue;
    ids.add(operand.id);
    const maker = makers.get(operand.id);
    if (maker === undefined || isGiven(operand) || equations.has(maker)) continue;
    equations.add(maker);
    stack.push(...maker.inputs);
  }
  return {
    inputs: program.inputs,
    constants: program.constants.filter(({ id }) => ids.has(id)),
    equations: program.equations.filter((equation) => equations.has(equation)),
    outputs,
  };
}

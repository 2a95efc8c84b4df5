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

/** They cost next to nothing, and their results may be large: done again in the second half, not kept. */
const REPEATED = new Set(["broadcast", "reshape", "transpose", "stop_gradient", "neg", "cast"]);

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

  const kept = new Map<number, Binder>();
  const second = needed(
    program,
    program.outputs.filter((_, i) => !given.includes(i)),
    makers,
    (operand) => {
      const maker = makers.get(operand.id);
      if (maker === undefined || isLate.has(operand.id) || !isEarly.has(operand.id)) return false;
      if (REPEATED.has(maker.primitive) || operand.dtype === "uint32") return false;
      kept.set(operand.id, operand);
      return true;
    },
  );
  const keptOutputs = [...kept.values()] as (Binder & { dtype: DType })[];
  const first = needed(program, [...earlyOutputs, ...keptOutputs], makers, () => false);
  return {
    first: { ...first, inputs: program.inputs.slice(0, early) },
    second: { ...second, inputs: [...program.inputs, ...keptOutputs] },
    kept: keptOutputs.map(({ shape, dtype }) => ({ shape, dtype })),
  };
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

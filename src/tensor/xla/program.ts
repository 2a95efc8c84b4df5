/** @file A program as a message holds it: equations as JSON, constants as bytes, each once. */

import { createHash } from "node:crypto";
import { type Constant, calledBy, type Equation, type Operand, type Program } from "../program.ts";
import type { StorableTensor } from "../safetensors.ts";

/** What is sent of a program, and the tensors beside it. */
export interface Described {
  program: object;
  tensors: Record<string, StorableTensor>;
}

/**
 * Operands become their arrays' numbers. Constants of equal content share their bytes (a mask is there once a layer), and
 * of those that repeat one number only that is sent. Programs that are called are listed, each behind those that it calls.
 */
export function describe(program: Program): Described {
  const tensors: Described["tensors"] = {};
  const constant = ({ data, ...binder }: Constant) => {
    const [first] = data;
    if (data.every((value) => Object.is(value, first))) return { ...binder, fill: written(first!) };
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const tensor = createHash("sha256").update(bytes).digest("base64");
    // Unsigned integers travel as the signed ones of the same bits.
    const stored = data instanceof Float32Array || data instanceof Uint8Array ? data : new Int32Array(data);
    tensors[tensor] = { shape: [data.length], data: stored };
    return { ...binder, tensor };
  };
  const called = calledPrograms(program);
  const one = ({ inputs, constants, equations, outputs }: Program) => ({
    inputs,
    constants: constants.map(constant),
    equations: equations.map((equation) => {
      const callee = calledBy(equation);
      const params = callee ? { program: called.indexOf(callee) } : equation.params;
      const { primitive, inputs, outputs } = equation;
      return { primitive, params, outputs, inputs: inputs.map(reference) };
    }),
    outputs: outputs.map(reference),
  });
  return { program: { ...one(program), called: called.map(one) }, tensors };
}

/** Each program that another one calls, and those that they call, once. */
function calledPrograms(program: Program, found: Program[] = []): Program[] {
  for (const callee of new Set(program.equations.flatMap((equation) => calledBy(equation) ?? []))) {
    if (found.includes(callee)) continue;
    calledPrograms(callee, found);
    found.push(callee);
  }
  return found;
}

function reference(operand: Operand): number | object {
  return "id" in operand ? operand.id : { ...operand, value: written(operand.value) };
}

/** JSON has no NaN, no infinity, and no negative zero. */
function written(value: number): number | string {
  return Number.isFinite(value) && !Object.is(value, -0)
    ? value
    : Object.is(value, -0)
      ? "-0"
      : String(value);
}

/** A program for people, one equation a line. Those that it calls come before it. */
export function programText(program: Program): string {
  const called = calledPrograms(program);
  const name = (operand: Operand) => ("id" in operand ? `%${operand.id}` : String(operand.value));
  const typed = (operand: Operand & { shape?: readonly number[] }) =>
    `${name(operand)}:${operand.dtype}[${operand.shape ?? ""}]`;
  const line = (equation: Equation) => {
    const { primitive, inputs, params, outputs } = equation;
    const callee = calledBy(equation);
    const how = callee ? `program ${called.indexOf(callee)}` : JSON.stringify(params);
    return `${outputs.map(typed).join(", ")} = ${primitive}(${inputs.map(name).join(", ")}) ${how}`;
  };
  const text = ({ inputs, constants, equations, outputs }: Program) => [
    `inputs ${inputs.map(typed).join(", ")}`,
    ...constants.map((one) => `${typed(one)} = {...}`),
    ...equations.map(line),
    `outputs ${outputs.map(name).join(", ")}`,
  ];
  return [...called.flatMap((one, i) => [`program ${i}`, ...text(one)]), ...text(program)].join("\n");
}

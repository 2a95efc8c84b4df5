/** @file A program as a message holds it: equations as JSON, constants as bytes, each once. */

import { createHash } from "node:crypto";
import type { Constant, Equation, Operand, Program } from "../program.ts";
import type { StorableTensor } from "../safetensors.ts";

/** What is sent of a program, and the tensors beside it. */
export interface Described {
  program: object;
  tensors: Record<string, StorableTensor>;
}

/**
 * Operands become their arrays' numbers. Constants of equal content share their bytes (a mask is there once a layer), and
 * of those that repeat one number only that is sent.
 */
export function describe({ inputs, constants, equations, outputs }: Program): Described {
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
  const program = {
    inputs,
    constants: constants.map(constant),
    equations: equations.map(({ primitive, inputs, params, outputs }) => ({
      ...{ primitive, params, outputs },
      inputs: inputs.map(reference),
    })),
    outputs: outputs.map(reference),
  };
  return { program, tensors };
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

/** A program for people, one equation a line. */
export function programText({ inputs, constants, equations, outputs }: Program): string {
  const name = (operand: Operand) => ("id" in operand ? `%${operand.id}` : String(operand.value));
  const typed = (operand: Operand & { shape?: readonly number[] }) =>
    `${name(operand)}:${operand.dtype}[${operand.shape ?? ""}]`;
  const line = ({ primitive, inputs, params, outputs }: Equation) =>
    `${outputs.map(typed).join(", ")} = ${primitive}(${inputs.map(name).join(", ")}) ${JSON.stringify(params)}`;
  return [
    `inputs ${inputs.map(typed).join(", ")}`,
    ...constants.map((one) => `${typed(one)} = {...}`),
    ...equations.map(line),
    `outputs ${outputs.map(name).join(", ")}`,
  ].join("\n");
}

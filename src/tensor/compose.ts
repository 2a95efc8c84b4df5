/** @file A large program put together from small ones that were traced once: a layer, called for each layer's weights. */

import { type Binder, CALL, type Equation, type Operand, type Program, shapeOfOperand } from "./program.ts";
import { leavesOf, mapTree, nest, structureOf, type Traced } from "./trace.ts";
import type { TensorSpec, Tree } from "./types.ts";

/** An array of a program that is put together. */
class Wire {
  readonly operand: Operand;

  constructor(operand: Operand) {
    this.operand = operand;
  }
}

/** Arrays of a program that is put together, nested. */
export type Wires = Tree<Wire>;

/** Puts a program together: inputs first, then calls of other programs, then `finish`. */
export class Composer {
  readonly #inputs: Program["inputs"][number][] = [];
  readonly #equations: Equation[] = [];
  #count = 0;

  /** New inputs, nested as they are specified. */
  inputs(specs: Tree<TensorSpec>): Wires {
    return mapTree(specs, ({ shape, dtype }) => {
      const input = { id: this.#count++, shape, dtype };
      this.#inputs.push(input);
      return new Wire(input);
    });
  }

  /**
   * What a program gives for some arrays of this one.
   *
   * @throws Error where an argument has another shape or element type than the program's input
   */
  call({ program, structure }: Traced, ...args: Wires[]): Wires {
    const given = args.flatMap((arg) => leavesOf(arg).map(({ operand }) => operand));
    program.inputs.forEach((input, i) => {
      const operand = given[i];
      const shape = operand && shapeOfOperand(operand);
      if (operand?.dtype !== input.dtype || shape?.join() !== input.shape.join())
        throw new Error(
          `tensor: input ${i} of a program that is called is ${operand?.dtype}[${shape}]; it should be ${input.dtype}[${input.shape}]`,
        );
    });
    const outputs = program.outputs.map((output): Binder => {
      return { id: this.#count++, shape: shapeOfOperand(output), dtype: output.dtype };
    });
    this.#equations.push({ primitive: CALL, inputs: given, params: { program }, outputs });
    return nest(
      structure,
      outputs.map((output) => new Wire(output)),
    );
  }

  /** The whole program. */
  finish(results: Wires): Traced {
    const outputs = leavesOf(results).map(({ operand }) => operand as Program["outputs"][number]);
    const [inputs, equations] = [this.#inputs, this.#equations];
    return { program: { inputs, constants: [], equations, outputs }, structure: structureOf(results) };
  }
}

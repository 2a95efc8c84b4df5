/** @file A large program put together from small ones that were traced once: a layer, called for each layer's weights. */

import type { Binder, Constant, Equation, Operand, Program } from "./program.ts";
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
  readonly #constants: Constant[] = [];
  readonly #equations: Equation[] = [];
  /** The constants of programs that were called before: they are there once. */
  readonly #shared = new Map<Program, Map<number, Operand>>();
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
    const known = new Map(this.#constantsOf(program));
    program.inputs.forEach((input, i) => {
      const operand = given[i];
      const shape = operand && "id" in operand ? operand.shape : [];
      if (operand?.dtype !== input.dtype || shape.join() !== input.shape.join())
        throw new Error(
          `tensor: input ${i} of a program that is called is ${operand?.dtype}[${shape}]; it should be ${input.dtype}[${input.shape}]`,
        );
      known.set(input.id, operand);
    });
    const read = (operand: Operand) => ("id" in operand ? known.get(operand.id)! : operand);
    for (const equation of program.equations) {
      const outputs = equation.outputs.map((output): Binder => ({ ...output, id: this.#count++ }));
      this.#equations.push({ ...equation, inputs: equation.inputs.map(read), outputs });
      equation.outputs.forEach(({ id }, i) => {
        known.set(id, outputs[i]!);
      });
    }
    return nest(
      structure,
      program.outputs.map((output) => new Wire(read(output))),
    );
  }

  /** The whole program. */
  finish(results: Wires): Traced {
    const outputs = leavesOf(results).map(({ operand }) => operand as Program["outputs"][number]);
    const [inputs, constants, equations] = [this.#inputs, this.#constants, this.#equations];
    return { program: { inputs, constants, equations, outputs }, structure: structureOf(results) };
  }

  #constantsOf(program: Program): Map<number, Operand> {
    const shared = this.#shared.get(program);
    if (shared) return shared;
    const own = new Map<number, Operand>();
    for (const constant of program.constants) {
      const copy = { ...constant, id: this.#count++ };
      this.#constants.push(copy);
      own.set(constant.id, { id: copy.id, shape: copy.shape, dtype: copy.dtype });
    }
    this.#shared.set(program, own);
    return own;
  }
}

/** @file Functions that are run in two steps: a first that needs no late arguments, and a second that goes on from it. */

import { CompiledProgram, type CompileOptions, type JaxTree } from "./compile.ts";
import { cut } from "./cut.ts";
import { onnxRuntime } from "./onnx/runtime.ts";
import { type JaxArray, leavesOf, mapTree, nest, startJax, structureOf, trace } from "./trace.ts";
import type { MapTree, Tensor, TensorSpec, Tree } from "./types.ts";

/** A function in two steps. */
export interface InTwo<Early extends readonly unknown[], Late extends readonly unknown[], First, Second> {
  /** Takes the early arguments; gives its part, and what it keeps for the second step. */
  first: CompiledProgram<Early, [MapTree<First, JaxArray, Tensor>, Tensor[]]>;
  /** Takes all arguments, and then what the first step kept, which it frees. */
  second: CompiledProgram<readonly [...Early, ...Late, Tensor[]], MapTree<Second, JaxArray, Tensor>>;
  /** Frees both. */
  close(): Promise<void>;
}

/** The arrays that arguments are traced with. */
type Traced<Args extends readonly unknown[]> = { -readonly [K in keyof Args]: JaxTree<Args[K]> };

/**
 * Compiles a function that gives a pair, of which the first part needs the early arguments only.
 *
 * @throws Error as `compile`; where the first part depends on a late argument
 */
export async function compileInTwo<
  const Early extends readonly unknown[],
  const Late extends readonly unknown[],
  First,
  Second,
>(
  fn: (...args: [...Traced<Early>, ...Traced<Late>]) => [First, Second],
  early: Early,
  late: Late,
  { runtime = onnxRuntime }: Pick<CompileOptions, "runtime"> = {},
): Promise<InTwo<Early, Late, First, Second>> {
  await startJax();
  const specs = [...early, ...late] as Tree<TensorSpec>[];
  const { program, structure } = trace(fn as (...args: never[]) => unknown, specs);
  // Which output is where in the pair.
  const [given, rest] = nest(structure, [...program.outputs.keys()]) as [Tree<number>, Tree<number>];
  const halves = cut(program, countLeaves(early as readonly Tree<TensorSpec>[]), leavesOf(given));
  const into = (part: Tree<number>) => {
    const form = structureOf(part);
    return <T>(leaves: T[]) => nest(form, leaves);
  };
  const [nestGiven, nestRest] = [into(given), into(rest)];
  const most = leavesOf(given).length;
  const keptInputs = halves.kept.map((_, i) => program.inputs.length + i);
  const first = await runtime.compile(halves.first);
  const second = await runtime.compile(halves.second, keptInputs);
  const programs = {
    first: new CompiledProgram(first, runtime, early, (leaves) => [
      nestGiven(leaves.slice(0, most)),
      leaves.slice(most),
    ]),
    second: new CompiledProgram(second, runtime, [...specs, halves.kept], nestRest),
  };
  const close = async () => {
    await programs.first.close();
    await programs.second.close();
  };
  return { ...programs, close } as unknown as InTwo<Early, Late, First, Second>;
}

function countLeaves(specs: readonly Tree<TensorSpec>[]): number {
  let count = 0;
  for (const spec of specs) mapTree(spec, () => count++);
  return count;
}

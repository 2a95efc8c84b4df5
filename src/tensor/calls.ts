/** @file A program that only calls others, run call by call: what is called several times is compiled once. */

import { calledBy, type Program } from "./program.ts";
import type { Executable, Handle } from "./runtime.ts";

/** Calls of a program in their order; nothing where it does anything else, or calls nothing twice. */
function callsOf({ equations, inputs, outputs }: Program) {
  const calls = equations.map((equation) => ({ equation, called: calledBy(equation) }));
  const ids = new Set(inputs.map(({ id }) => id));
  const plain = calls.every(({ equation, called }) => called && equation.inputs.every((one) => "id" in one));
  const made = outputs.every((one) => "id" in one && !ids.has(one.id));
  const distinct = new Set(outputs.map((one) => "id" in one && one.id)).size === outputs.length;
  if (!plain || !made || !distinct || new Set(calls.map(({ called }) => called)).size === calls.length)
    return undefined;
  return calls.map(({ equation, called }) => ({
    called: called!,
    inputs: equation.inputs.map((one) => "id" in one && one.id) as number[],
    outputs: equation.outputs.map(({ id }) => id),
  }));
}

/**
 * Compiles a program of calls.
 *
 * @param compile compiles a program as a whole
 * @returns nothing where the program is no such program
 */
export async function compileByCalls(
  program: Program,
  donated: readonly number[],
  { compile, free }: { compile: (called: Program) => Promise<Executable>; free: (handle: Handle) => void },
): Promise<Executable | undefined> {
  const calls = callsOf(program);
  if (!calls) return undefined;
  const compiled = new Map<Program, Executable>();
  for (const { called } of calls) if (!compiled.has(called)) compiled.set(called, await compile(called));
  const given = program.outputs.map((one) => ("id" in one ? one.id : -1));
  /** What is not needed after each call. */
  const last = new Map(
    calls.flatMap(({ inputs, outputs }, i) => [...outputs, ...inputs].map((id) => [id, i])),
  );
  for (const id of [...given, ...program.inputs.map((input) => input.id)]) last.delete(id);
  const done = calls.map((_, i) => [...last].flatMap(([id, at]) => (at === i ? [id] : [])));
  return {
    get text() {
      return [...compiled.values()].map(({ text }) => text).join("\n\n");
    },
    async run(inputs) {
      const known = new Map(program.inputs.map(({ id }, i) => [id, inputs[i]!]));
      for (const [i, { called, inputs, outputs }] of calls.entries()) {
        const results = await compiled.get(called)!.run(inputs.map((id) => known.get(id)!));
        outputs.forEach((id, o) => {
          known.set(id, results[o]!);
        });
        for (const id of done[i]!) free(known.get(id)!);
      }
      for (const index of donated) free(inputs[index]!);
      return given.map((id) => known.get(id)!);
    },
    async close() {
      for (const one of compiled.values()) await one.close();
    },
  };
}

/** @file Programs of calls: what is compiled, what they give, and what is left behind. */

import { describe, expect, it } from "vitest";
import { compileByCalls } from "./calls.ts";
import { Composer } from "./compose.ts";
import {
  floats,
  type Handle,
  type JaxArray,
  onnxRuntime,
  type Traced,
  traceOf,
  type Wires,
} from "./index.ts";
import type { Program } from "./program.ts";

const spec = floats([2]);

/** x to (2 x + 1, x + 3), and so on with the first. */
async function chain(
  times: number,
  finish: (x: Wires, inputs: Wires[], rests: Wires[]) => Wires,
): Promise<Traced> {
  const step = await traceOf((x: JaxArray) => [x.ref.mul(2).add(1), x.add(3)], [spec]);
  const whole = new Composer();
  const inputs = [whole.inputs(spec), whole.inputs(spec)];
  const rests: Wires[] = [];
  let x = inputs[0]!;
  for (let i = 0; i < times; i++) {
    const [next, rest] = whole.call(step, x) as [Wires, Wires];
    rests.push(rest);
    x = next;
  }
  return whole.finish(finish(x, inputs, rests));
}

async function compiled(traced: Traced, donated: number[] = []) {
  const programs: Program[] = [];
  const freed: Handle[] = [];
  const executable = await compileByCalls(traced.program, donated, {
    compile(program) {
      programs.push(program);
      return onnxRuntime.compile(program);
    },
    free(handle) {
      freed.push(handle);
      onnxRuntime.free(handle);
    },
  });
  return { executable, programs, freed };
}

const given = () =>
  Promise.all(
    [
      [1, 2],
      [0, 0],
    ].map((data) => onnxRuntime.put({ ...spec, data: Float32Array.from(data) })),
  );
const read = async (handle: Handle) => [...(await onnxRuntime.get(handle)).data];

describe("a program of calls", () => {
  it("compiles what is called three times once, and keeps what it gives and nothing else", async () => {
    const { executable, programs, freed } = await compiled(
      await chain(3, (x, _, rests) => [x, rests[1]!]),
      [1],
    );
    expect(programs).toHaveLength(1);
    const inputs = await given();
    const results = await executable!.run(inputs);
    // 1 -> 3 -> 7 -> 15, and beside the second step 3 + 3.
    expect(await Promise.all(results.map(read))).toEqual([
      [15, 23],
      [6, 8],
    ]);
    // The first two of the chain, the other two beside it, and what was donated.
    expect(new Set(freed).size).toBe(5);
    expect(freed).toContain(inputs[1]);
    expect(await read(inputs[0]!)).toEqual([1, 2]);
    await executable!.close();
  });

  it.each([
    ["calls nothing twice", 1, (x: Wires) => x],
    ["gives what it was given", 2, (x: Wires, [, other]: Wires[]) => [x, other!]],
    ["gives something twice", 2, (x: Wires) => [x, x]],
  ] as const)("is compiled as a whole where it %s", async (_, times, finish) => {
    const { executable, programs } = await compiled(await chain(times, finish));
    expect([executable, programs]).toEqual([undefined, []]);
  });
});

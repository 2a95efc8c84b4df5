/** @file What every runtime promises, as checks that any test runner or the command line can run. */

import { numpy as np } from "@jax-js/jax";
import { compile } from "./compile.ts";
import { drawToken } from "./draw.ts";
import type { Draw, Handle, Runtime } from "./runtime.ts";
import { type FloatTensor, floats, ints, type Tensor } from "./types.ts";

/** One promise, and its check. */
export interface RuntimeClause {
  /** What is promised, in words. */
  promise: string;
  /** @throws Error that says how it is broken */
  check(runtime: Runtime): Promise<void>;
}

/** The promises. */
export const runtimeContract: readonly RuntimeClause[] = [
  {
    promise: "a tensor that is put is what is got, whatever its type and shape",
    async check(runtime) {
      const tensors: Tensor[] = [
        sequence([2, 3]),
        floats([], new Float32Array([-0.5])),
        ints([2, 1], new Int32Array([-7, 2 ** 31 - 1])),
        { shape: [3], dtype: "bool", data: new Uint8Array([1, 0, 1]) },
      ];
      for (const tensor of tensors) {
        const handle = await runtime.put(tensor);
        same(`${handle.dtype}[${handle.shape}]`, `${tensor.dtype}[${tensor.shape}]`, "a handle");
        same(await numbers(runtime, handle), [...tensor.data], "what was put");
        runtime.free(handle);
      }
      const zeros = await runtime.zeros({ shape: [2, 2], dtype: "int32" });
      same(await numbers(runtime, zeros), [0, 0, 0, 0], "zeros");
      runtime.free(zeros);
    },
  },
  {
    promise: "programs run from handles to handles, and what one run made outlives the next",
    async check(runtime) {
      const program = await compile((x, y) => [x.ref.mul(2), x.add(y)], [floats([3]), floats([3])], {
        runtime,
      });
      const one = await runtime.put(floats([3], new Float32Array([1, 2, 3])));
      const [twice, sum] = await program.run(one, floats([3], new Float32Array([10, 20, 30])));
      const [four] = await program.run(twice, sum);
      same(await numbers(runtime, twice), [2, 4, 6], "the first run's result, after a second");
      same(await numbers(runtime, sum), [11, 22, 33], "the first run's other result");
      same(await numbers(runtime, four), [4, 8, 12], "the second run's");
      same(await numbers(runtime, one), [1, 2, 3], "an input, after it was used");
      runtime.free(twice);
      const [six] = await program.run(one, one);
      same(await numbers(runtime, sum), [11, 22, 33], "a result, after another was freed and a run went on");
      same(await numbers(runtime, six), [2, 4, 6], "the third run's");
      await program.close();
      same(await numbers(runtime, four), [4, 8, 12], "a result, after its program was closed");
      for (const handle of [one, sum, four, six]) runtime.free(handle);
    },
  },
  {
    promise: "results may be inputs, constants, or the same array twice, and are apart all the same",
    async check(runtime) {
      const fn = (x: np.Array) => {
        const twice = x.ref.mul(2);
        return [x, np.arange(3), twice.ref, twice];
      };
      const program = await compile(fn, [floats([2])], { runtime });
      const results = (await program.run(floats([2], new Float32Array([5, 6])))) as Handle[];
      const all = await Promise.all(results.map((handle) => numbers(runtime, handle)));
      same(
        all,
        [
          [5, 6],
          [0, 1, 2],
          [10, 12],
          [10, 12],
        ],
        "the results",
      );
      runtime.free(results[2]!);
      same(
        await numbers(runtime, results[3]!),
        [10, 12],
        "one of two equal results, after the other was freed",
      );
      for (const handle of results) runtime.free(handle);
      await program.close();
    },
  },
  {
    promise: "what is donated is gone after the run, and what is freed is refused",
    async check(runtime) {
      const program = await compile((x, y) => x.add(y), [floats([2]), floats([2])], { runtime, donate: [0] });
      const [x, y] = [await runtime.put(sequence([2])), await runtime.put(sequence([2]))];
      const sum = await program.run(x, y);
      same(await numbers(runtime, sum), [0, 2], "the sum");
      await refused("a donated handle", async () => numbers(runtime, x));
      await refused("a donated handle, run again", async () =>
        numbers(runtime, await program.run(await runtime.put(sequence([2])), x)),
      );
      same(await numbers(runtime, y), [0, 1], "an input that was not donated");
      runtime.free(y);
      runtime.free(y);
      await refused("a handle that was freed", () => numbers(runtime, y));
      runtime.free(sum);
      await program.close();
    },
  },
  {
    promise: "positions are copied between rows of caches in place, and nothing else is touched",
    async check(runtime) {
      const [H, D] = [2, 3];
      const source = sequence([2, H, 4, D]);
      const target = floats([3, H, 5, D], new Float32Array(3 * H * 5 * D).fill(-1));
      const expected = target.data.slice();
      const moves = [
        { from: 1, fromAt: 0, to: 0, toAt: 2, count: 3 },
        { from: 0, fromAt: 3, to: 2, toAt: 0, count: 1 },
      ];
      for (const { from, fromAt, to, toAt, count } of moves)
        for (let h = 0; h < H; h++)
          for (let i = 0; i < count * D; i++)
            expected[((to * H + h) * 5 + toAt) * D + i] = source.data[((from * H + h) * 4 + fromAt) * D + i]!;
      const from = await runtime.put(source);
      const targets = [await runtime.put(copyOf(target)), await runtime.put(copyOf(target))];
      await runtime.copy(
        targets.map((to) => ({ source: from, target: to })),
        moves,
      );
      for (const to of targets) same(await numbers(runtime, to), [...expected], "the target");
      same(await numbers(runtime, from), [...source.data], "the source");
      for (const handle of [from, ...targets]) runtime.free(handle);
    },
  },
  {
    promise: "tokens are drawn as `drawToken` draws them, whatever is drawn beside them",
    async check(runtime) {
      const [N, V] = [4, 700];
      const logits = floats(
        [N, V],
        Float32Array.from({ length: N * V }, (_, i) => 3 * Math.sin(1.7 * i) + Math.cos(0.3 * i * i)),
      );
      const handle = await runtime.put(logits);
      const draws = Array.from({ length: 60 }, (_, i): Draw => {
        const key = [Math.imul(i + 1, 0x9e3779b9), Math.imul(i + 7, 0x85ebca6b)] as const;
        return { row: i % N, key, position: i % 9 };
      });
      for (const temperature of [0, 0.6, 1, 2]) {
        const drawn = await runtime.draw(handle, draws, temperature);
        draws.forEach((draw, i) => {
          const row = logits.data.subarray(draw.row * V, (draw.row + 1) * V);
          const { token, logprob } = drawToken(row, temperature, draw);
          same(drawn[i]!.token, token, `draw ${i} at temperature ${temperature}`);
          expect(Math.abs(drawn[i]!.logprob - logprob) < 1e-4, `its log-probability is ${drawn[i]!.logprob}`);
        });
      }
      const [alone] = await runtime.draw(handle, [draws[5]!], 1);
      const [, beside] = await runtime.draw(handle, [draws[4]!, draws[5]!], 1);
      same(alone!.token, beside!.token, "a token, drawn alone");
      runtime.free(handle);
    },
  },
  {
    promise:
      "tokens are decoded each from those before it, which the caches hold, whatever else is in the batch",
    async check(runtime) {
      const [B, C, V] = [4, 8, 6];
      const table = Float32Array.from({ length: V * V }, (_, i) => 2 * Math.sin(1.3 * i * i));
      const cache = floats([B, 1, C, 1]);
      const specs = [floats([V, V]), ints([B, 1]), ints([B, 1]), cache, floats([B, C])] as const;
      // The logits depend on the token, on where it is, and on the sum of all that came before.
      const program = await compile(
        (table, token, position, cache, mask) => {
          const before = np.sum(np.exp(mask).mul(cache.reshape([B, C])), -1, { keepdims: true });
          const ramp = np.arange(V).astype(np.float32);
          const where = before.mul(0.3).add(position.astype(np.float32).mul(0.1));
          const logits = table.slice(token.ref.reshape([B])).add(where.mul(ramp));
          return { logits, fresh: [token.astype(np.float32).reshape([B, 1, 1, 1])] };
        },
        specs,
        { runtime },
      );
      const known = [
        { slot: 2, tokens: [3, 1, 2], key: [7, 8] as const, drawn: 1 },
        { slot: 0, tokens: [4, 5], key: [9, 10] as const, drawn: 2 },
      ];
      for (const { slot, tokens } of known)
        tokens.slice(0, -1).forEach((token, at) => {
          cache.data[slot * C + at] = token;
        });
      for (const temperature of [0, 1]) {
        const weights = [await runtime.put(floats([V, V], table))];
        const caches = [await runtime.put(copyOf(cache))];
        const rows = known.map(({ slot, tokens, key, drawn }) => {
          return { slot, token: tokens.at(-1)!, position: tokens.length - 1, key, drawn };
        });
        const decoding = { weights, caches, rows, temperature, ends: [] };
        const found = await runtime.decode(program.executable, decoding, 4);
        const written = await numbers(runtime, caches[0]!);
        known.forEach(({ slot, tokens, key, drawn }, r) => {
          const all = [...tokens];
          for (let i = 0; i < 4; i++) {
            const [newest, position] = [all.at(-1)!, all.length - 1];
            const before = all.slice(0, -1).reduce((sum, token) => sum + token, 0);
            const logits = table.slice(newest * V, (newest + 1) * V);
            for (let v = 0; v < V; v++) logits[v]! += (0.3 * before + 0.1 * position) * v;
            const { token, logprob } = drawToken(logits, temperature, { key, position: drawn + i });
            same(found[r]![i]!.token, token, `token ${i} of row ${r} at temperature ${temperature}`);
            const close = Math.abs(found[r]![i]!.logprob - logprob) < 1e-3;
            expect(close, `its log-probability is ${found[r]![i]!.logprob}, and should be ${logprob}`);
            all.push(token);
          }
          const held = written.slice(slot * C, slot * C + all.length - 1);
          same(held, all.slice(0, -1), `what the cache holds of row ${r}`);
        });
        for (const handle of [...weights, ...caches]) runtime.free(handle);
      }
      await program.close();
    },
  },
  {
    promise: "a primitive that is not known is refused by its name",
    async check(runtime) {
      const output = { id: 1, shape: [1], dtype: "float32" } as const;
      const program = {
        inputs: [{ id: 0, shape: [1], dtype: "float32" }],
        constants: [],
        equations: [{ primitive: "divine", inputs: [{ ...output, id: 0 }], params: {}, outputs: [output] }],
        outputs: [output],
      } as const;
      const error = await refused("an unknown primitive", () => runtime.compile(program));
      expect(error.includes('"divine"'), `the error does not name it: ${error}`);
    },
  },
];

/** 0, 1, 2, ... */
function sequence(shape: readonly number[]): FloatTensor {
  const tensor = floats(shape);
  for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = i;
  return tensor;
}

function copyOf(tensor: FloatTensor): FloatTensor {
  return { ...tensor, data: tensor.data.slice() };
}

async function numbers(runtime: Runtime, handle: Handle): Promise<number[]> {
  return [...(await runtime.get(handle)).data];
}

function expect(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}

function same(actual: unknown, wanted: unknown, what: string): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(wanted)];
  expect(a === b, `${what}: ${a}, and should be ${b}`);
}

/** @returns the error's message @throws Error where it is not refused */
async function refused(what: string, attempt: () => Promise<unknown>): Promise<string> {
  const outcome = await attempt().then(
    () => undefined,
    (error: unknown) => String(error),
  );
  if (outcome === undefined) throw new Error(`${what} was not refused`);
  return outcome;
}

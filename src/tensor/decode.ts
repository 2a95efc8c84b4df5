/** @file Decoding: a program that gives logits is run over and over, each time with the tokens that were drawn from them. */

import type { DecodeRow, Decoding, Drawn, Executable, Handle, Runtime } from "./runtime.ts";
import { floats, ints } from "./types.ts";

/** `Runtime.decode` by the runtime's other verbs: a run, a copy and a draw for each token. */
export async function decodeByRuns(
  runtime: Runtime,
  program: Executable,
  { weights, caches, rows, temperature }: Decoding,
  count: number,
): Promise<Drawn[][]> {
  const [B, , C] = caches[0]!.shape as [number, number, number];
  const drawn: Drawn[][] = rows.map(() => []);
  for (let i = 0; i < count; i++) {
    const at = ({ position }: DecodeRow) => position + i;
    const [token, position, mask] = [ints([B, 1]), ints([B, 1]), floats([B, C])];
    rows.forEach((row, r) => {
      token.data[row.slot] = drawn[r]!.at(-1)?.token ?? row.token;
      position.data[row.slot] = at(row);
      mask.data.fill(HIDDEN, row.slot * C + at(row), (row.slot + 1) * C);
    });
    const fed: Handle[] = [];
    for (const tensor of [token, position, mask]) fed.push(await runtime.put(tensor));
    const [logits, ...fresh] = await program.run([...weights, fed[0]!, fed[1]!, ...caches, fed[2]!]);
    const pairs = fresh.map((source, c) => ({ source, target: caches[c]! }));
    const moves = rows.map((row) => {
      return { from: row.slot, fromAt: 0, to: row.slot, toAt: at(row), count: 1 };
    });
    await runtime.copy(pairs, moves);
    const draws = rows.map((row) => ({ row: row.slot, key: row.key, position: row.drawn + i }));
    const next = await runtime.draw(logits!, draws, temperature);
    next.forEach((one, r) => {
      drawn[r]!.push(one);
    });
    for (const handle of [logits!, ...fresh, ...fed]) runtime.free(handle);
  }
  return drawn;
}

/** Added to the scores of positions that hold nothing. */
const HIDDEN = -1e9;

/** @file What a runtime does to tensors in this process's memory, by their rows: caches are copied, tokens are drawn. */

import { drawToken } from "./draw.ts";
import type { Draw, Drawn, RowMove } from "./runtime.ts";
import type { Tensor } from "./types.ts";

/** `Runtime.copy` for one pair of tensors [rows, H, positions, D]. */
export function copyRows(source: Tensor, target: Tensor, moves: readonly RowMove[]): void {
  const [, H, P, D] = source.shape as [number, number, number, number];
  const Q = target.shape[2]!;
  const [read, written] = [source.data, target.data];
  for (const { from, fromAt, to, toAt, count } of moves)
    for (let head = 0; head < H; head++) {
      const start = ((from * H + head) * P + fromAt) * D;
      const end = ((to * H + head) * Q + toAt) * D;
      // Short runs are most of all copies, and a loop is quicker than a view for them.
      if (count * D > 256) written.set(read.subarray(start, start + count * D), end);
      else for (let i = 0; i < count * D; i++) written[end + i] = read[start + i]!;
    }
}

/** `Runtime.draw` from logits [N, V]. */
export function drawRows({ data, shape }: Tensor, draws: readonly Draw[], temperature: number): Drawn[] {
  const V = shape[1]!;
  return draws.map((draw) =>
    drawToken((data as Float32Array).subarray(draw.row * V, (draw.row + 1) * V), temperature, draw),
  );
}

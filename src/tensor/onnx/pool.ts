/** @file Arrays that are written to again and again: fresh memory costs more than most operators. */

import { newData, sizeOf, type Tensor, type TensorSpec } from "../types.ts";

/** Bytes that are kept for later, of what has been used last. */
const LIMIT = 2 ** 29;

/** Arrays by their element type and length, those used last at the end. */
const kept = new Map<string, Tensor["data"][]>();
let bytes = 0;

const keyOf = (dtype: Tensor["dtype"], length: number) => `${dtype} ${length}`;

/** A tensor of whatever numbers: one that was given back, or a fresh one. */
export function takeTensor({ dtype, shape }: TensorSpec): Tensor {
  const length = sizeOf(shape);
  const data = kept.get(keyOf(dtype, length))?.pop();
  if (data) bytes -= data.byteLength;
  return { dtype, shape, data: data ?? newData(dtype, length) };
}

/** Takes back a tensor that nobody will read again. */
export function giveBack({ dtype, data }: Tensor): void {
  const key = keyOf(dtype, data.length);
  const alike = kept.get(key) ?? [];
  kept.delete(key);
  kept.set(key, alike);
  alike.push(data);
  bytes += data.byteLength;
  for (const [oldest, arrays] of kept) {
    while (bytes > LIMIT && arrays.length > 0) bytes -= arrays.pop()!.byteLength;
    if (bytes <= LIMIT) break;
    kept.delete(oldest);
  }
}

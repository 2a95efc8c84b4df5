/**
 * @file Orders of rows. llama2.c and GGUF pair neighbouring dimensions in rotary positions, Hugging Face's files the two halves of a
 * head; GGUF has a GPT-NeoX's queries, keys and values one part behind the other, Hugging Face head by head.
 */

/**
 * Rows of a projection to queries or keys, from neighbours paired to halves paired.
 *
 * @param rows_ND the matrix [heads x headDim, inputs]
 */
export function pairHalves(rows_ND: Float32Array, heads: number, headDim: number): Float32Array {
  const inputs = rows_ND.length / (heads * headDim);
  const half = headDim / 2;
  const result = new Float32Array(rows_ND.length);
  for (let head = 0; head < heads; head++)
    for (let pair = 0; pair < half; pair++)
      for (const side of [0, 1]) {
        const from = (head * headDim + 2 * pair + side) * inputs;
        result.set(rows_ND.subarray(from, from + inputs), (head * headDim + side * half + pair) * inputs);
      }
  return result;
}

/** Rows of queries, keys and values, [3, heads, ..] one part behind the other, as [heads, 3, ..]. */
export function byHead(rows: Float32Array, heads: number): Float32Array {
  const length = rows.length / (3 * heads);
  const result = new Float32Array(rows.length);
  for (let part = 0; part < 3; part++)
    for (let head = 0; head < heads; head++) {
      const from = (part * heads + head) * length;
      result.set(rows.subarray(from, from + length), (head * 3 + part) * length);
    }
  return result;
}

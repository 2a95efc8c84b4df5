/** @file Half-precision numbers widened to float32, and rounded to, many millions at a time. */

/** Every IEEE 754 half as a float32, by its bits: made once, a quarter of a megabyte. */
let table: Float32Array | undefined;

/** IEEE 754 halves. */
export function widenHalves(
  halves: Uint16Array,
  target: Float32Array = new Float32Array(halves.length),
): Float32Array {
  table ??= Float32Array.from({ length: 65536 }, (_, bits) => halfToFloat(bits));
  for (let i = 0; i < halves.length; i++) target[i] = table[halves[i]!]!;
  return target;
}

/** bfloat16 numbers: the upper halves of float32 numbers. */
export function widenBrainHalves(
  halves: Uint16Array,
  target: Float32Array = new Float32Array(halves.length),
): Float32Array {
  const bits = new Uint32Array(target.buffer, target.byteOffset, target.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return target;
}

/** The nearest bfloat16 number of each, of two as near the even one. */
export function roundToBrainHalves(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) halves[i] = (bits[i]! + 0x7fff + ((bits[i]! >>> 16) & 1)) >>> 16;
  return halves;
}

/** The value of an IEEE 754 half: 1 sign bit, 5 exponent bits, 10 fraction bits. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** @file Half-precision numbers widened to float32, and float32 rounded to them, many millions at a time. */

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

/** The nearest IEEE 754 halves, ties to even. */
export function roundToHalves(numbers: Float32Array): Uint16Array {
  return Uint16Array.from(numbers, floatToHalf);
}

/** The bits of the half nearest to a number. */
export function floatToHalf(value: number): number {
  const sign = Object.is(Math.sign(value), -0) || value < 0 ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  // From half a step above the largest half on, what is nearest is infinite.
  if (size >= 65520) return sign | 0x7c00;
  // Below 2 ** -14 steps are of one size.
  const exponent = size < 2 ** -14 ? -14 : Math.floor(Math.log2(size));
  const steps = size / 2 ** (exponent - 10);
  const floor = Math.floor(steps);
  const rest = steps - floor;
  const rounded = floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
  // Steps count on over the end of an exponent, as bits do.
  return sign | (size < 2 ** -14 ? rounded : rounded + ((exponent + 14) << 10));
}

/** @file The hidden functions: a small grammar of one-line JavaScript expressions, with their values. */

/** Inputs are the digits. */
export const INPUTS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/** A function from a digit to a number of at most two digits. */
export interface HiddenFunction {
  /** The shortest program of the family that computes it, for instance `x=>3*x+1`. It identifies the function. */
  source: string;
  /** `values[x]`, each a whole number from 0 to 99. */
  values: readonly number[];
}

interface Shape {
  /** The numbers that a and b run through. */
  a: readonly number[];
  b: readonly number[];
  expression: (a: number, b: number) => string;
  value: (x: number, a: number, b: number) => number;
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const NONE = [0];
/** The end of a sum: nothing is written for a zero. */
const plus = (b: number) => (b === 0 ? "" : `+${b}`);

/** From sums, which a small model soon reads off three pairs, to remainders and bit patterns, which it may never. */
const SHAPES: readonly Shape[] = [
  { a: NONE, b: range(1, 19), expression: (_, b) => `x+${b}`, value: (x, _, b) => x + b },
  { a: range(2, 6), b: range(0, 9), expression: (a, b) => `${a}*x${plus(b)}`, value: (x, a, b) => a * x + b },
  { a: NONE, b: range(9, 20), expression: (_, b) => `${b}-x`, value: (x, _, b) => b - x },
  { a: range(2, 3), b: range(27, 36), expression: (a, b) => `${b}-${a}*x`, value: (x, a, b) => b - a * x },
  { a: NONE, b: range(0, 9), expression: (_, b) => `x*x${plus(b)}`, value: (x, _, b) => x * x + b },
  {
    a: range(2, 6),
    b: range(0, 5),
    expression: (a, b) => `Math.max(x,${a})${plus(b)}`,
    value: (x, a, b) => Math.max(x, a) + b,
  },
  {
    a: range(3, 7),
    b: range(0, 5),
    expression: (a, b) => `Math.abs(x-${a})${plus(b)}`,
    value: (x, a, b) => Math.abs(x - a) + b,
  },
  {
    a: range(3, 7),
    b: range(0, 5),
    expression: (a, b) => `x%${a}${plus(b)}`,
    value: (x, a, b) => (x % a) + b,
  },
  {
    a: range(2, 9),
    b: range(0, 9),
    expression: (a, b) => (b === 0 ? `${a}*x%10` : `(${a}*x+${b})%10`),
    value: (x, a, b) => (a * x + b) % 10,
  },
  {
    a: range(5, 9),
    b: range(0, 5),
    expression: (a, b) => `x*x%${a}${plus(b)}`,
    value: (x, a, b) => ((x * x) % a) + b,
  },
];

/** All functions of the family, each once, under its shortest source; in an order that does not depend on anything. */
export function hiddenFunctions(): HiddenFunction[] {
  const byValues = new Map<string, HiddenFunction>();
  for (const { a: as, b: bs, expression, value } of SHAPES) {
    for (const a of as) {
      for (const b of bs) {
        const values = INPUTS.map((x) => value(x, a, b));
        if (values.some((y) => y < 0 || y > 99)) continue;
        const candidate = { source: `x=>${expression(a, b)}`, values };
        const known = byValues.get(values.join());
        if (!known || candidate.source.length < known.source.length) byValues.set(values.join(), candidate);
      }
    }
  }
  return [...byValues.values()];
}

/** @file The oracle for tests of the engine: the same jax-js function, compiled and run by jax-js itself. */

import { defaultDevice, init, numpy as np, tree } from "@jax-js/jax";
import fc from "fast-check";
import { expect } from "vitest";
import { type CompileOptions, compile } from "../src/tensor/compile.ts";
import type { Runtime } from "../src/tensor/runtime.ts";
import { type JaxArray, mapTree } from "../src/tensor/trace.ts";
import { type DType, floats, ints, sizeOf, type Tensor, type Tree } from "../src/tensor/types.ts";

/** The same values as a jax-js array. */
export function jaxArray({ data, dtype, shape }: Tensor): JaxArray {
  const flat = dtype === "bool" ? np.array(Array.from(data, Boolean)) : np.array(data as Float32Array);
  return flat.reshape([...shape]);
}

/** `compile` without the types that tie arguments to results: here they are only known at run time. */
const compileAny = compile as unknown as (
  fn: (...args: never[]) => unknown,
  args: Tree<Tensor>[],
  options: CompileOptions,
) => Promise<{
  evaluate(...args: Tree<Tensor>[]): Promise<Tree<Tensor>>;
  close(): Promise<void>;
  text: string;
}>;

/**
 * Compiles and runs `fn`, runs it in jax-js, and expects equal trees of results: shapes and element types exactly,
 * numbers within `tolerance * (1 + |number|)`.
 */
export async function expectAgreement(
  fn: (...args: never[]) => unknown,
  args: Tree<Tensor>[],
  tolerance = 2e-5,
  runtime?: Runtime,
): Promise<void> {
  const program = await compileAny(fn, args, { runtime });
  try {
    const actual = await program.evaluate(...args);
    const { arrays, structure } = await onJaxCpu(() => {
      const expected = fn(...(args.map((arg) => mapTree(arg, jaxArray)) as never[]));
      const [leaves, structure] = tree.flatten(expected as never) as [JaxArray[], { toString(): string }];
      const arrays = leaves.map((leaf) => ({ shape: leaf.shape, dtype: leaf.dtype, data: leaf.dataSync() }));
      return { arrays, structure };
    });
    const tensors: Tensor[] = [];
    mapTree(actual, (leaf) => tensors.push(leaf));
    expect(tensors.length).toBe(arrays.length);
    arrays.forEach((array, i) => {
      const where = `leaf ${i} of ${structure}\n${program.text}`;
      const { shape, dtype, data } = tensors[i]!;
      expect({ shape, dtype }, where).toEqual({ shape: array.shape, dtype: array.dtype });
      const wanted = array.data;
      const wrong = Array.from(data).findIndex((value, k) => !close(value, wanted[k]!, tolerance));
      const values = `${Array.from(data).slice(0, 64)}\nshould be\n${Array.from(wanted).slice(0, 64)}`;
      expect(wrong, `element ${wrong} of ${where}\n${values}`).toBe(-1);
    });
  } finally {
    await program.close();
  }
}

/**
 * Runs on jax-js's plain JavaScript backend. Its WebAssembly one is no oracle: the product of a [1, 3, 4, 1] array
 * broadcast to [1, 3, 4, 5] with a [2, 3, 5, 1] one comes out wrong there (jax-js 0.1.x), and right here.
 */
async function onJaxCpu<T>(compute: () => T): Promise<T> {
  await init("cpu");
  const before = defaultDevice();
  defaultDevice("cpu");
  try {
    return compute();
  } finally {
    defaultDevice(before);
  }
}

function close(a: number, b: number, tolerance: number): boolean {
  return Object.is(a, b) || a === b || Math.abs(a - b) <= tolerance * (1 + Math.abs(b));
}

/** A movement of axes, in terms that views and jax-js share. */
export type Move =
  | { op: "transpose"; perm: number[] }
  | { op: "broadcast"; shape: number[]; added: number[] }
  | { op: "reshape"; shape: number[] };

/** Turns arbitrary numbers into movements that fit the shape; results keep to 300 elements and 6 axes. */
export function planMoves(start: readonly number[], choices: readonly number[]): Move[] {
  const moves: Move[] = [];
  let shape = [...start];
  for (const choice of choices) {
    const move = planMove(shape, choice % 4, Math.floor(choice / 4));
    moves.push(move);
    shape = move.op === "transpose" ? move.perm.map((axis) => shape[axis]!) : move.shape;
  }
  return moves;
}

function planMove(shape: number[], kind: number, choice: number): Move {
  const at = choice % Math.max(1, shape.length);
  const more = Math.floor(choice / 8);
  if (kind === 0) return { op: "transpose", perm: permutation(shape.length, choice) };
  if (kind === 1 && shape.length < 6 && sizeOf(shape) <= 100) {
    const inserted = choice % (shape.length + 1);
    return { op: "broadcast", shape: shape.toSpliced(inserted, 0, 1 + (more % 3)), added: [inserted] };
  }
  const size = shape[at] ?? 1;
  const divisors = Array.from({ length: size }, (_, i) => i + 1).filter((d) => size % d === 0);
  const divisor = divisors[more % divisors.length]!;
  if (kind === 2 && shape.length < 6)
    return { op: "reshape", shape: shape.toSpliced(at, 1, divisor, size / divisor) };
  return { op: "reshape", shape: shape.toSpliced(at, 2, size * (shape[at + 1] ?? 1)) };
}

/** The permutation with a number. */
export function permutation(length: number, choice: number): number[] {
  const left = Array.from({ length }, (_, i) => i);
  let rest = choice;
  return Array.from({ length }, () => {
    const next = left.splice(rest % left.length, 1)[0]!;
    rest = Math.floor(rest / (left.length + 1));
    return next;
  });
}

export function applyMoves(array: JaxArray, moves: readonly Move[]): JaxArray {
  return moves.reduce((x, move) => {
    if (move.op === "transpose") return x.transpose(move.perm);
    if (move.op === "reshape") return x.reshape(move.shape);
    const narrow = move.shape.map((size, axis) => (move.added.includes(axis) ? 1 : size));
    return np.broadcastTo(x.reshape(narrow), move.shape);
  }, array);
}

/** How an operand of some shape lies: stored with its axes in another order, some of them once and broadcast. */
export interface Operand {
  stored: Tensor;
  /** From the stored array to the operand. */
  view: (stored: JaxArray) => JaxArray;
}

export interface Choices {
  order: number;
  /** Bit i: axis i is stored with size 1. */
  broadcast: number;
  values: number;
}

export const choices: fc.Arbitrary<Choices> = fc.record({
  order: fc.nat(719),
  broadcast: fc.oneof(fc.constant(0), fc.nat(63)),
  values: fc.nat(1000),
});

export const moveChoices = fc.array(fc.nat(400), { maxLength: 4 });

export function shapes(maxRank: number, maxSize = 4): fc.Arbitrary<number[]> {
  return fc.array(fc.integer({ min: 1, max: maxSize }), { maxLength: maxRank });
}

export function operand(
  shape: readonly number[],
  dtype: DType,
  { order, broadcast, values }: Choices,
): Operand {
  const perm = permutation(shape.length, order);
  const narrow = shape.map((size, axis) => ((broadcast >> axis) & 1 ? 1 : size));
  const inverse = perm.map((_, axis) => perm.indexOf(axis));
  const stored = perm.map((axis) => narrow[axis]!);
  return {
    stored: filled(stored, dtype, values),
    view: (x) => np.broadcastTo(x.transpose(inverse), [...shape]),
  };
}

/** Varied values: non-zero quarters between -2 and 2, non-zero integers between -5 and 5, or booleans. */
export function filled(shape: readonly number[], dtype: DType, seed: number): Tensor {
  let state = seed + 1;
  const next = (count: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 16) % count;
  };
  const signed = (largest: number) => (next(2) ? 1 : -1) * (1 + next(largest));
  const tensor = dtype === "float32" ? floats(shape) : ints(shape);
  if (dtype === "bool") return { shape, dtype, data: Uint8Array.from(tensor.data, () => next(2)) };
  for (let i = 0; i < tensor.data.length; i++)
    tensor.data[i] = dtype === "float32" ? signed(8) / 4 : signed(5);
  return tensor;
}

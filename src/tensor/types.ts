/** @file The vocabulary of the engine: tensors, their specifications, and trees of them. */

/** Element types that programs take and give. */
export type DType = "float32" | "int32" | "bool";

/** What a program needs to know of a tensor before it exists. */
export interface TensorSpec {
  shape: readonly number[];
  dtype: DType;
}

/** A dense row-major array. Booleans are bytes that are 0 or 1. */
export interface Tensor extends TensorSpec {
  data: Float32Array | Int32Array | Uint8Array;
}

/** A float32 tensor: weights, activations, gradients. */
export interface FloatTensor extends Tensor {
  dtype: "float32";
  data: Float32Array;
}

/** Nested objects and arrays with `T` at the leaves. */
export type Tree<T> = T | Tree<T>[] | { [name: string]: Tree<T> };

/** The same tree with other leaves. */
export type MapTree<Shape, From, To> = Shape extends From
  ? To
  : Shape extends readonly unknown[] | object
    ? { [K in keyof Shape]: MapTree<Shape[K], From, To> }
    : never;

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** A float32 tensor; zeros unless data is given. */
export function floats(
  shape: readonly number[],
  data: Float32Array = new Float32Array(sizeOf(shape)),
): FloatTensor {
  return { shape, dtype: "float32", data };
}

/** An int32 tensor; zeros unless data is given. */
export function ints(shape: readonly number[], data: Int32Array = new Int32Array(sizeOf(shape))): Tensor {
  return { shape, dtype: "int32", data };
}

/** The array that holds so many elements of a type; zeros. */
export function newData(dtype: DType, size: number): Tensor["data"] {
  if (dtype === "float32") return new Float32Array(size);
  return dtype === "int32" ? new Int32Array(size) : new Uint8Array(size);
}

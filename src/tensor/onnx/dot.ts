/** @file jax-js's `dot` as a matrix product that uses each operand in the layout that it already has. */

import { sizeOf } from "../types.ts";
import { broadcastShapes, elementwise, reduce, viewInOrder } from "./elementwise.ts";
import type { ElementType, Graph, Value } from "./graph.ts";
import { layOut } from "./layout.ts";
import { type NarrowValue, widenedIn, widenedParts } from "./narrow.ts";
import { memoryOrder, shapeOf, stretchView, type View } from "./view.ts";

/** An operand of a product, which may be kept narrow. */
export interface Factor {
  view: View;
  narrow?: NarrowValue | undefined;
}

/**
 * Sum of products over the last axis; the other axes broadcast. Of a matrix that is kept narrow a part is wide at a time.
 *
 * Each of the other axes belongs to both operands (batch), to the left or to the right one only. The product is
 * [batch, left, K] x [batch, K, right]; where an operand lies as [.., K, left] or [.., right, K] it is used transposed.
 */
export function dot(graph: Graph, leftOperand: Factor, rightOperand: Factor, dtype: ElementType): View {
  if (leftOperand.narrow && rightOperand.narrow)
    return dot(graph, widened(graph, leftOperand), rightOperand, dtype);
  const shape = broadcastShapes(shapeOf(leftOperand.view), shapeOf(rightOperand.view));
  const x = stretchView(leftOperand.view, shape);
  const y = stretchView(rightOperand.view, shape);
  const contracted = shape.length - 1;
  const outShape = shape.slice(0, -1);
  const has = (view: View, axis: number) => view.axes[axis]!.stride > 0;
  const free = outShape.map((_, axis) => axis);
  const batch = free.filter((axis) => has(x, axis) && has(y, axis));
  const left = free.filter((axis) => has(x, axis) && !has(y, axis));
  const right = free.filter((axis) => !has(x, axis) && has(y, axis));

  const matrixLike = has(x, contracted) && has(y, contracted) && (left.length > 0 || right.length > 0);
  const { narrow } = leftOperand.narrow ? leftOperand : rightOperand;
  const asFloats = () => dot(graph, widened(graph, leftOperand), widened(graph, rightOperand), dtype);
  if (!matrixLike && narrow) return asFloats();
  if (!matrixLike)
    return reduce(graph, "ReduceSum", elementwise(graph, "Mul", [x, y], shape, dtype), [contracted], dtype);

  const larger = sizeOf(graph.value(x.base).shape) >= sizeOf(graph.value(y.base).shape) ? x : y;
  const batchOrder = memoryOrder(larger).filter((axis) => batch.includes(axis));
  const a = asMatrix(graph, x, batchOrder, left, contracted, "last");
  const b = asMatrix(graph, y, batchOrder, right, contracted, "first");
  const size = (axes: readonly number[]) => sizeOf(axes.map((axis) => shape[axis]!));
  const batchSize = batch.length > 0 ? [size(batch)] : [];
  const sizes = [...batchSize, size(left), size(right)];
  const [matrix, { base }] = leftOperand.narrow ? [a, x] : [b, y];
  // Its parts are those of one matrix as it lies.
  if (narrow && (batch.length > 0 || matrix.value.name !== base)) return asFloats();
  const product = narrow
    ? matmulByParts(graph, a, b, matrix, narrow, sizes, dtype)
    : matmul(graph, a, b, sizes, dtype);
  return viewInOrder(product.name, outShape, [...batchOrder, ...a.order, ...b.order]);
}

interface Matrix {
  value: Value;
  /** Is it the transpose of the matrix that the product wants? */
  transposed: boolean;
  /** The free axes, as they lie. */
  order: number[];
}

/** Lays a view out as [batch, rows, columns] with the contracted axis in its usual place, or transposed if it lies so. */
function asMatrix(
  graph: Graph,
  view: View,
  batch: readonly number[],
  free: readonly number[],
  contracted: number,
  usual: "first" | "last",
): Matrix {
  const memory = memoryOrder(view);
  const order = memory.filter((axis) => free.includes(axis));
  // A vector lies either way.
  const first = memory.find((axis) => !batch.includes(axis));
  const lies = order.length === 0 ? usual : first === contracted ? "first" : "last";
  const axes = lies === "first" ? [...batch, contracted, ...order] : [...batch, ...order, contracted];
  const transposed = lies !== usual;
  const sizes = (list: readonly number[]) => sizeOf(list.map((axis) => view.axes[axis]!.size));
  const matrix = lies === "first" ? [sizes([contracted]), sizes(order)] : [sizes(order), sizes([contracted])];
  const shape = batch.length > 0 ? [sizes(batch), ...matrix] : matrix;
  return { value: graph.reshape(layOut(graph, view, axes), shape), transposed, order };
}

function widened(graph: Graph, { view, narrow }: Factor): Factor {
  return narrow ? { view: widenedIn(graph, view, narrow) } : { view };
}

/** A product of which one matrix is narrow: each part of it gives its own part of the result. */
function matmulByParts(
  graph: Graph,
  a: Matrix,
  b: Matrix,
  matrix: Matrix,
  narrow: NarrowValue,
  shape: readonly number[],
  dtype: ElementType,
): Value {
  const isLeft = matrix === a;
  const along = isLeft ? 0 : 1;
  const parts = widenedParts(graph, matrix.value, narrow, matrix.transposed === isLeft ? 1 : 0);
  const products = parts.map(({ value, size }) => {
    const own = { ...matrix, value };
    const ownShape = shape.map((full, i) => (i === along ? size : full));
    return matmul(graph, isLeft ? own : a, isLeft ? b : own, ownShape, dtype);
  });
  return products.length === 1
    ? products[0]!
    : graph.apply("Concat", products, shape, dtype, { axis: along });
}

function matmul(graph: Graph, a: Matrix, b: Matrix, shape: readonly number[], dtype: ElementType): Value {
  if (!a.transposed && !b.transposed) return graph.apply("MatMul", [a.value, b.value], shape, dtype);
  if (dtype !== "float32") {
    const plain = ({ value, transposed }: Matrix) => (transposed ? swapLastTwo(graph, value) : value);
    return graph.apply("MatMul", [plain(a), plain(b)], shape, dtype);
  }
  const flags = { transA: Number(a.transposed), transB: Number(b.transposed) };
  return graph.apply("FusedMatMul", [a.value, b.value], shape, dtype, flags);
}

function swapLastTwo(graph: Graph, value: Value): Value {
  const axes = value.shape.map((_, i) => i);
  return graph.transpose(value, [...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!]);
}

/** @file Element-wise operators and reductions, each run in the memory layout of its largest operand. */

import { sizeOf } from "../types.ts";
import type { Attribute, ElementType, Graph } from "./graph.ts";
import { layOut } from "./layout.ts";
import { memoryOrder, stretchView, type View } from "./view.ts";

/** NumPy's broadcast of several shapes. */
export function broadcastShapes(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, i) => {
    const sizes = shapes.map((shape) => shape[shape.length - rank + i] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
}

/** The view of a dense tensor whose axes are `order` of a logical shape; other axes are broadcast. */
export function viewInOrder(base: string, shape: readonly number[], order: readonly number[]): View {
  const axes = shape.map((size) => ({ size, stride: 0 }));
  let stride = 1;
  for (const axis of [...order].reverse()) {
    axes[axis]!.stride = shape[axis] === 1 ? 0 : stride;
    stride *= shape[axis]!;
  }
  return { base, axes };
}

/** Applies an ONNX operator element by element; operands broadcast to `shape`. */
export function elementwise(
  graph: Graph,
  op: string,
  operands: readonly View[],
  shape: readonly number[],
  dtype: ElementType,
  attributes: Record<string, Attribute> = {},
): View {
  const views = operands.map((operand) => stretchView(operand, shape));
  const lead = leadOf(graph, views);
  const order = sharedOrder(lead, views);
  const runs = runsOf(order, (axis) => views.map((view) => view.axes[axis]!.stride > 0).join());
  const full = runs.map((run) => sizeOf(run.map((axis) => shape[axis]!)));
  // Where only whole operands and scalars meet, any shape will do: one that an operand has already saves a reshape.
  const whole = runs.length === 1 ? shapeToKeep(graph, views) : full;
  const inputs = views.map((view) => {
    const strided = runs.map((run) => view.axes[run[0]!]!.stride > 0);
    if (strided.every(Boolean)) return graph.reshape(layOut(graph, view, order), whole);
    const sizes = full.map((size, i) => (strided[i] ? size : 1));
    // Leading broadcast axes are implied: without them one constant serves every shape.
    const leading = sizes.findIndex((size) => size !== 1);
    return graph.reshape(layOut(graph, view, order), leading < 0 ? [] : sizes.slice(leading));
  });
  const result = graph.apply(op, inputs, whole, dtype, attributes);
  return viewInOrder(result.name, shape, order);
}

/** The shape of the largest operands' dense tensors; of several the one with the shortest rows, as reductions want. */
function shapeToKeep(graph: Graph, views: readonly View[]): readonly number[] {
  const shapes = views.map((view) => graph.value(view.base).shape);
  const largest = Math.max(...shapes.map(sizeOf));
  const row = (shape: readonly number[]) => shape.at(-1) ?? 1;
  return shapes
    .filter((shape) => sizeOf(shape) === largest)
    .reduce((kept, shape) =>
      row(shape) < row(kept) || (row(shape) === row(kept) && shape.length < kept.length) ? shape : kept,
    );
}

/** The first of the largest operands. */
function leadOf(graph: Graph, views: readonly View[]): View {
  const elements = (view: View) => sizeOf(graph.value(view.base).shape);
  return views.reduce((largest, view) => (elements(view) > elements(largest) ? view : largest));
}

/**
 * The order of axes for an operator over several views of one shape: as the lead lies in memory, with the axes that it
 * lacks placed before the first of its axes that follows them logically.
 */
function sharedOrder(lead: View, views: readonly View[]): number[] {
  const order = memoryOrder(lead);
  lead.axes.forEach((axis, i) => {
    if (axis.stride > 0 || views.every((view) => view.axes[i]!.stride === 0)) return;
    const place = order.findIndex((other) => other > i);
    order.splice(place < 0 ? order.length : place, 0, i);
  });
  return order;
}

/** Splits a list into runs of neighbours with equal keys. */
function runsOf(order: readonly number[], key: (axis: number) => unknown): number[][] {
  const runs: number[][] = [];
  for (const axis of order) {
    const run = runs.at(-1);
    if (run && key(run[0]!) === key(axis)) run.push(axis);
    else runs.push([axis]);
  }
  return runs;
}

/** Reduces axes away with one of ONNX's `Reduce*` operators. */
export function reduce(
  graph: Graph,
  op: "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceProd",
  view: View,
  axes: readonly number[],
  dtype: ElementType,
): View {
  const order = memoryOrder(view);
  const runs = runsOf(order, (axis) => axes.includes(axis));
  const shape = view.axes.map((axis) => axis.size);
  let result = layOut(graph, view, order);
  const reduced = runs.flatMap((run, i) => (axes.includes(run[0]!) ? [i] : []));
  if (reduced.length > 0) {
    const sizes = runs.map((run) => sizeOf(run.map((axis) => shape[axis]!)));
    const kept = sizes.filter((_, i) => !reduced.includes(i));
    const inputs = [graph.reshape(result, sizes), graph.integers(reduced)];
    result = graph.apply(op, inputs, kept, dtype, { keepdims: 0 });
  }
  const left = shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const keptOrder = order.filter((axis) => !axes.includes(axis)).map((axis) => left.indexOf(axis));
  const leftShape = left.map((axis) => shape[axis]!);
  const summed = viewInOrder(result.name, leftShape, keptOrder);
  // A broadcast axis repeats its elements: the sum is a multiple, the product a power, the extremes stay.
  const repeats = sizeOf(axes.filter((axis) => view.axes[axis]!.stride === 0).map((axis) => shape[axis]!));
  if (repeats === 1 || op === "ReduceMax" || op === "ReduceMin") return summed;
  const count = { base: graph.scalar(repeats, dtype).name, axes: [] };
  return elementwise(graph, op === "ReduceSum" ? "Mul" : "Pow", [summed, count], leftShape, dtype);
}

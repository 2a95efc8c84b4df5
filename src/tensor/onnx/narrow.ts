/** @file Inputs that are kept narrow: how they are fed, and become float32 where an operator needs them, in the graph itself. */

import type { Narrow } from "../narrow.ts";
import { sizeOf } from "../types.ts";
import { elementCodes, type Graph, type Value } from "./graph.ts";
import { gatherView } from "./indexing.ts";
import { denseView, shapeOf, type View } from "./view.ts";

/** A dense tensor [M, ..] of the graph that is kept narrow, and what its rows are scaled by, [M], where they are. */
export interface NarrowValue {
  kept: Narrow;
  scales_M?: Value;
}

/** An input that is fed as it is kept. */
export function narrowInput(
  graph: Graph,
  { shape }: { shape: readonly number[] },
  index: number,
  kept: Narrow,
): { view: View; narrow: NarrowValue } {
  // The interface of Node has no bfloat16: its bits are fed.
  const { name } = graph.input(shape, kept === "bfloat16" ? "uint16" : "int8", index);
  const scaled = kept === "int8" && { scales_M: graph.scales(shape[0]!, index) };
  return { view: denseView(name, shape), narrow: { kept, ...scaled } };
}

/** The same elements as float32. */
export function widenedIn(graph: Graph, view: View, { kept, scales_M }: NarrowValue): View {
  const value = graph.value(view.base);
  if (kept === "int8") {
    const wide = graph.apply("DequantizeLinear", [value, scales_M!], value.shape, "float32", { axis: 0 });
    return { ...view, base: wide.name };
  }
  const read = graph.apply("BitCast", [value], value.shape, "bfloat16", { to: elementCodes.bfloat16 });
  const wide = graph.apply("Cast", [read], value.shape, "float32", { to: elementCodes.float32 });
  return { ...view, base: wide.name };
}

/** Numbers of a matrix that are wide at a time where it is multiplied: a few megabytes, which stay in a processor's caches. */
const AT_ONCE = 2 ** 20;
/** Rows or columns of a part, at least: fewer are multiplied slower, and summed up in another order. */
const WIDTH = 128;

/** A matrix in parts along one of its axes, wide each, with their sizes along it. */
export function widenedParts(
  graph: Graph,
  matrix: Value,
  { kept, scales_M }: NarrowValue,
  axis: 0 | 1,
): { value: Value; size: number }[] {
  const total = matrix.shape[axis]!;
  const most = Math.max(WIDTH, Math.ceil(total / Math.ceil(sizeOf(matrix.shape) / AT_ONCE)));
  const part = (of: Value, along: number, start: number, end: number) => {
    if (end - start === of.shape[along]) return of;
    const shape = of.shape.map((size, i) => (i === along ? end - start : size));
    const where = [[start], [end], [along]].map((list) => graph.integers(list));
    return graph.apply("Slice", [of, ...where], shape, of.dtype);
  };
  return Array.from({ length: Math.ceil(total / most) }, (_, i) => {
    const [start, end] = [i * most, Math.min(total, (i + 1) * most)];
    const own = part(matrix, axis, start, end);
    const scales = scales_M && (axis === 0 ? part(scales_M, 0, start, end) : scales_M);
    const wide = widenedIn(graph, denseView(own.name, own.shape), {
      kept,
      ...(scales && { scales_M: scales }),
    });
    return { value: graph.value(wide.base), size: end - start };
  });
}

/** Rows of a matrix that is looked up: what was looked up is widened. Nothing where the view is not one of rows as they lie. */
export function widenedRows(
  graph: Graph,
  view: View,
  { kept, scales_M }: NarrowValue,
  indices: readonly View[],
  form: { axis: number[]; outDim: number },
): View | undefined {
  const value = graph.value(view.base);
  const lies = denseView(view.base, value.shape);
  if (form.axis.join() !== "0" || JSON.stringify(lies.axes) !== JSON.stringify(view.axes)) return undefined;
  const rows = gatherView(graph, view, indices, form, value.dtype);
  if (!scales_M) return widenedIn(graph, rows, { kept });
  const ofRows = gatherView(graph, denseView(scales_M.name, scales_M.shape), indices, form, "float32");
  const count = sizeOf(shapeOf(ofRows));
  const flat = graph.reshape(graph.value(rows.base), [count, sizeOf(shapeOf(rows)) / count]);
  const scales = graph.reshape(graph.value(ofRows.base), [count]);
  return widenedIn(graph, { ...rows, base: flat.name }, { kept, scales_M: scales });
}

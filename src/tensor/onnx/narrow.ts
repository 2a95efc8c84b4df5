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

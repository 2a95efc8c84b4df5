/** @file Gathering along indexed axes, and scattering with addition, which is its transpose. */

import { broadcastShapes } from "./elementwise.ts";
import { type ElementType, elementCodes, type Graph, type Value } from "./graph.ts";
import { densify } from "./layout.ts";
import { denseView, shapeOf, stretchView, transposeView, type View } from "./view.ts";

/** Where jax-js puts the axes of the indices: at `outDim` among the operand's axes that are not indexed. */
interface Indexing {
  /** The indexed axes of the operand, one for each index. */
  axis: number[];
  outDim: number;
}

/**
 * NumPy's advanced indexing: the indices broadcast to one shape, whose axes replace the indexed ones. An index may count
 * from the end; one out of range makes the run fail.
 */
export function gatherView(
  graph: Graph,
  operand: View,
  indices: readonly View[],
  { axis, outDim }: Indexing,
  dtype: ElementType,
): View {
  const indexShape = broadcastShapes(...indices.map(shapeOf));
  const shape = shapeOf(operand);
  const others = otherAxes(shape.length, axis);
  const size = (axes: readonly number[]) => axes.map((a) => shape[a]!);
  const moved = (result: Value, before: number) => {
    // From [some of the others, indices, the rest] to the place that jax-js wants.
    const at = indexShape.map((_, i) => before + i);
    const rest = otherAxes(result.shape.length, at);
    const order = [...rest.slice(0, outDim), ...at, ...rest.slice(outDim)];
    return transposeView(denseView(result.name, result.shape), order);
  };
  if (axis.length === 1) {
    const [at] = axis as [number];
    const resultShape = [...shape.slice(0, at), ...indexShape, ...shape.slice(at + 1)];
    const inputs = [densify(graph, operand), densify(graph, indices[0]!)];
    return moved(graph.apply("Gather", inputs, resultShape, dtype, { axis: at }), at);
  }
  const leading = densify(graph, transposeView(operand, [...axis, ...others]));
  const inputs = [leading, coordinates(graph, indices, indexShape)];
  return moved(graph.apply("GatherND", inputs, [...indexShape, ...size(others)], dtype), 0);
}

/** Zeros of a shape with the updates added at the indices: the transpose of `gatherView`. */
export function scatterView(
  graph: Graph,
  updates: View,
  indices: readonly View[],
  { axis, outDim, shape }: Indexing & { shape: number[] },
  dtype: ElementType,
): View {
  const indexShape = broadcastShapes(...indices.map(shapeOf));
  const at = indexShape.map((_, i) => outDim + i);
  const order = [...axis, ...otherAxes(shape.length, axis)];
  const resultShape = order.map((a) => shape[a]!);
  const zeros = densify(graph, stretchView({ base: graph.scalar(0, dtype).name, axes: [] }, resultShape));
  const moved = transposeView(updates, [...at, ...otherAxes(updates.axes.length, at)]);
  const inputs = [zeros, coordinates(graph, indices, indexShape), densify(graph, moved)];
  const result = graph.apply("ScatterND", inputs, resultShape, dtype, { reduction: "add" });
  const back = shape.map((_, a) => order.indexOf(a));
  return transposeView(denseView(result.name, resultShape), back);
}

/** The indices as ONNX wants them: one row of coordinates for each element of their common shape. */
function coordinates(graph: Graph, indices: readonly View[], shape: readonly number[]): Value {
  const column = [...shape, 1];
  const columns = indices.map((index) => {
    const dense = graph.reshape(densify(graph, stretchView(index, shape)), column);
    return graph.apply("Cast", [dense], column, "int64", { to: elementCodes.int64 });
  });
  if (columns.length === 1) return columns[0]!;
  return graph.apply("Concat", columns, [...shape, columns.length], "int64", { axis: shape.length });
}

function otherAxes(rank: number, axes: readonly number[]): number[] {
  return Array.from({ length: rank }, (_, i) => i).filter((i) => !axes.includes(i));
}

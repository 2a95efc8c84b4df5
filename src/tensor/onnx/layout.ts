/** @file From views back to dense tensors: lays a view out in a wanted order of axes, at the least cost. */

import { sizeOf } from "../types.ts";
import type { Graph, Value } from "./graph.ts";
import { memoryOrder, shapeOf, type View } from "./view.ts";

/**
 * The view's elements as a dense tensor whose axes are the view's axes in the given order. Broadcast axes have size 1
 * unless they are in `expand`. Emits nothing where the elements lie so already.
 */
export function layOut(
  graph: Graph,
  view: View,
  order: readonly number[],
  expand?: ReadonlySet<number>,
): Value {
  const sizes = shapeOf(view);
  const memory = memoryOrder(view);
  const wanted = order.filter((axis) => view.axes[axis]!.stride > 0);
  let dense = graph.value(view.base);
  if (wanted.some((axis, i) => axis !== memory[i])) {
    dense = graph.transpose(
      graph.reshape(
        dense,
        memory.map((axis) => sizes[axis]!),
      ),
      wanted.map((axis) => memory.indexOf(axis)),
    );
  }
  const narrow = order.map((axis) => (view.axes[axis]!.stride > 0 ? sizes[axis]! : 1));
  dense = graph.reshape(dense, narrow);
  const full = order.map((axis, i) => (expand?.has(axis) ? sizes[axis]! : narrow[i]!));
  if (sizeOf(full) === sizeOf(narrow)) return dense;
  return graph.apply("Expand", [dense, graph.integers(full)], full);
}

/** The view's elements as a dense row-major tensor of its logical shape. */
export function densify(graph: Graph, view: View): Value {
  const axes = view.axes.map((_, i) => i);
  return layOut(graph, view, axes, new Set(axes));
}

/** @file Lazy strided views over dense tensors, so that movement costs nothing until it must. */

import { sizeOf } from "../types.ts";

/** One logical axis: `stride` elements of the dense tensor per step; 0 where the axis is broadcast or has size 1. */
export interface Axis {
  size: number;
  stride: number;
}

/**
 * A logical array over a dense row-major tensor.
 *
 * Axes with a stride, sorted by it, tile the dense tensor exactly: views only permute, split, merge and broadcast.
 * Anything that would select elements (slices, flips, padding) is an operator of its own.
 */
export interface View {
  /** The dense tensor's name in the graph. */
  base: string;
  axes: Axis[];
}

export function shapeOf(view: View): number[] {
  return view.axes.map((axis) => axis.size);
}

/** The view that shows a dense tensor as it lies. */
export function denseView(base: string, shape: readonly number[]): View {
  let stride = sizeOf(shape);
  const axes = shape.map((size) => {
    stride = size === 0 ? 0 : stride / size;
    return { size, stride: size === 1 ? 0 : stride };
  });
  return { base, axes };
}

export function transposeView(view: View, perm: readonly number[]): View {
  return { base: view.base, axes: perm.map((axis) => view.axes[axis]!) };
}

/** Inserts broadcast axes so that the logical shape becomes `shape`; `added` are the new axes' positions in it. */
export function broadcastView(view: View, shape: readonly number[], added: readonly number[]): View {
  const old = [...view.axes];
  const axes = shape.map((size, i) => {
    const axis = added.includes(i) ? { size, stride: 0 } : old.shift()!;
    return axis.size === size ? axis : { size, stride: 0 };
  });
  return { base: view.base, axes };
}

/** NumPy's broadcasting: aligns trailing axes and stretches those of size 1. */
export function stretchView(view: View, shape: readonly number[]): View {
  const added = shape.length - view.axes.length;
  return broadcastView(
    view,
    shape,
    shape.map((_, i) => i).filter((i) => i < added),
  );
}

/**
 * The reshaped view, or the axes that must first be laid out in order (and un-broadcast) to make it one.
 * Both shapes have the same number of elements, none of them zero.
 */
export function reshapeView(
  view: View,
  shape: readonly number[],
): { view: View; blocked?: never } | { view?: never; blocked: Set<number> } {
  // Axes of size 1 carry no elements: leave them out, and divide the others into runs that cover the same elements.
  const from = view.axes.map((_, i) => i).filter((i) => view.axes[i]!.size !== 1);
  const to = shape.map((_, j) => j).filter((j) => shape[j] !== 1);
  const axes: Axis[] = shape.map(() => ({ size: 1, stride: 0 }));
  const blocked = new Set<number>();
  for (let i = 0, j = 0; i < from.length; ) {
    const old = [from[i++]!];
    const fresh = [to[j++]!];
    let have = view.axes[old[0]!]!.size;
    let want = shape[fresh[0]!]!;
    while (have !== want) {
      if (have < want) {
        old.push(from[i]!);
        have *= view.axes[from[i++]!]!.size;
      } else {
        fresh.push(to[j]!);
        want *= shape[to[j++]!]!;
      }
    }
    const merged = mergeAxes(old.map((axis) => view.axes[axis]!));
    if (merged === null) for (const axis of old) blocked.add(axis);
    else
      splitAxis(
        merged,
        fresh.map((axis) => shape[axis]!),
      ).forEach((axis, k) => {
        axes[fresh[k]!] = axis;
      });
  }
  return blocked.size > 0 ? { blocked } : { view: { base: view.base, axes } };
}

/** The single axis that walks `axes` in row-major order, or null where no stride does. */
export function mergeAxes(axes: readonly Axis[]): Axis | null {
  let merged: Axis = { size: 1, stride: 0 };
  for (const axis of axes) {
    if (axis.size === 1) continue;
    if (merged.size === 1) merged = axis;
    else if (merged.stride === axis.stride * axis.size)
      merged = { size: merged.size * axis.size, stride: axis.stride };
    else return null;
  }
  return merged;
}

function splitAxis(axis: Axis, sizes: readonly number[]): Axis[] {
  let stride = axis.stride * axis.size;
  return sizes.map((size) => {
    stride /= size;
    return { size, stride: size === 1 ? 0 : stride };
  });
}

/** Positions of the axes that have a stride, outermost in memory first. */
export function memoryOrder(view: View): number[] {
  return view.axes
    .map((axis, i) => ({ ...axis, i }))
    .filter((axis) => axis.stride > 0)
    .sort((a, b) => b.stride - a.stride)
    .map((axis) => axis.i);
}

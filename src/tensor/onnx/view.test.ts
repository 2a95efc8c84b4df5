import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { moveChoices, planMoves, shapes } from "../../../test/against-jax.ts";
import { sizeOf } from "../types.ts";
import { Graph } from "./graph.ts";
import { layOut } from "./layout.ts";
import {
  broadcastView,
  denseView,
  memoryOrder,
  mergeAxes,
  reshapeView,
  shapeOf,
  stretchView,
  transposeView,
  type View,
} from "./view.ts";

/** A dense array of numbers, moved as NumPy moves: the reference. */
interface Reference {
  shape: number[];
  data: number[];
}

const stridesOf = (shape: readonly number[]) => shape.map((_, i) => sizeOf(shape.slice(i + 1)));
const coordinates = (shape: readonly number[], index: number) =>
  stridesOf(shape).map((stride, axis) => Math.floor(index / stride) % shape[axis]!);

/** The array of a shape whose element at some coordinates is that of `source` at the coordinates `from` maps them to. */
function rearranged(source: Reference, shape: number[], from: (at: number[]) => number[]): Reference {
  const strides = stridesOf(source.shape);
  const data = Array.from({ length: sizeOf(shape) }, (_, index) => {
    const at = from(coordinates(shape, index));
    return source.data[at.reduce((sum, position, axis) => sum + position * strides[axis]!, 0)]!;
  });
  return { shape, data };
}

/** The elements that a view shows of a dense tensor that counts from 0. */
function elementsOf(view: View): number[] {
  const shape = shapeOf(view);
  return Array.from({ length: sizeOf(shape) }, (_, index) =>
    coordinates(shape, index).reduce((sum, position, axis) => sum + position * view.axes[axis]!.stride, 0),
  );
}

describe("views", () => {
  it("show what NumPy's movements would, and block only reshapes that no strides can express", () =>
    fc.assert(
      fc.property(shapes(5), moveChoices, (start, numbers) => {
        let view = denseView("x", start);
        let reference: Reference = { shape: start, data: elementsOf(view) };
        expect(reference.data).toEqual(reference.data.map((_, i) => i));
        for (const move of planMoves(start, numbers)) {
          if (move.op === "transpose") {
            view = transposeView(view, move.perm);
            const shape = move.perm.map((axis) => reference.shape[axis]!);
            reference = rearranged(reference, shape, (at) =>
              move.perm.map((_, axis) => at[move.perm.indexOf(axis)]!),
            );
          } else if (move.op === "broadcast") {
            view = broadcastView(view, move.shape, move.added);
            reference = rearranged(reference, move.shape, (at) =>
              at.filter((_, axis) => !move.added.includes(axis)),
            );
          } else {
            const reshaped = reshapeView(view, move.shape);
            reference = { ...reference, shape: move.shape };
            if (reshaped.blocked) {
              // A run of axes that no single stride walks.
              const axes = [...reshaped.blocked].sort((a, b) => a - b).map((axis) => view.axes[axis]!);
              expect(axes.length).toBeGreaterThan(1);
              expect(mergeAxes(axes)).toBeNull();
              return;
            }
            view = reshaped.view;
          }
          expect(shapeOf(view)).toEqual(reference.shape);
          expect(elementsOf(view)).toEqual(reference.data);
        }
      }),
      { numRuns: 1000 },
    ));

  it("keep to axes that, sorted by stride, tile the dense tensor", () =>
    fc.assert(
      fc.property(shapes(5), moveChoices, (start, numbers) => {
        let view = denseView("x", start);
        for (const move of planMoves(start, numbers)) {
          if (move.op === "transpose") view = transposeView(view, move.perm);
          else if (move.op === "broadcast") view = broadcastView(view, move.shape, move.added);
          else {
            const reshaped = reshapeView(view, move.shape);
            if (reshaped.blocked) break;
            view = reshaped.view;
          }
        }
        const inMemory = memoryOrder(view).map((axis) => view.axes[axis]!);
        expect(inMemory.map(({ stride }) => stride)).toEqual(stridesOf(inMemory.map(({ size }) => size)));
        expect(sizeOf(inMemory.map(({ size }) => size))).toBe(sizeOf(start));
      }),
      { numRuns: 300 },
    ));

  it("stretch as NumPy broadcasts", () =>
    fc.assert(
      fc.property(shapes(4), fc.nat(15), fc.nat(4), (shape, ones, dropped) => {
        const narrow = shape.map((size, axis) => ((ones >> axis) & 1 ? 1 : size)).slice(dropped);
        const stretched = stretchView(denseView("x", narrow), shape);
        const source = { shape: narrow, data: elementsOf(denseView("x", narrow)) };
        const lead = shape.length - narrow.length;
        const expected = rearranged(source, shape, (at) =>
          narrow.map((size, axis) => (size === 1 ? 0 : at[lead + axis]!)),
        );
        expect(elementsOf(stretched)).toEqual(expected.data);
      }),
      { numRuns: 300 },
    ));
});

describe("laying out", () => {
  it("costs nothing where the elements lie as wanted", () => {
    const graph = new Graph();
    const x = graph.input([2, 3, 4], "float32");
    const view = transposeView(denseView(x.name, x.shape), [2, 0, 1]);
    expect(layOut(graph, view, [1, 2, 0])).toBe(x);
    expect(graph.nodes).toEqual([]);
  });

  it("moves axes once, and leaves broadcast axes at size 1 unless asked", () => {
    const graph = new Graph();
    const x = graph.input([2, 3], "float32");
    const view = broadcastView(transposeView(denseView(x.name, x.shape), [1, 0]), [3, 5, 2], [1]);
    expect(layOut(graph, view, [0, 1, 2]).shape).toEqual([3, 1, 2]);
    expect(layOut(graph, view, [0, 1, 2], new Set([1])).shape).toEqual([3, 5, 2]);
    expect(graph.nodes.map(({ op }) => op)).toEqual(["Transpose", "Reshape", "Expand"]);
  });
});

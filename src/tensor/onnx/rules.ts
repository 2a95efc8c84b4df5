/** @file One rule per primitive: how it becomes views and ONNX operators. */

import { sizeOf } from "../types.ts";
import { dot } from "./dot.ts";
import { broadcastShapes, elementwise, reduce } from "./elementwise.ts";
import { type ElementType, elementCodes, type Graph } from "./graph.ts";
import { gatherView, scatterView } from "./indexing.ts";
import { densify, layOut } from "./layout.ts";
import { type NarrowValue, widenedIn, widenedRows } from "./narrow.ts";
import { broadcastView, denseView, reshapeView, shapeOf, transposeView, type View } from "./view.ts";

/** An array of the program while it is lowered. */
export interface Lowered {
  view: View;
  dtype: ElementType;
  /** The array is the negative, or the reciprocal, of the view: kept back to become part of a difference or quotient. */
  deferred?: "Neg" | "Reciprocal" | undefined;
  /** It is kept narrow, and widened where it is first needed. */
  narrow?: NarrowValue | undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: parameters differ by primitive, and jax-js does not export their types.
type Parameters = Record<string, any>;
type Rule = (graph: Graph, inputs: Lowered[], parameters: Parameters, outputs: ElementType[]) => Lowered[];

/** The view of an array with nothing kept back. */
export function settle(graph: Graph, { view, dtype, deferred, narrow }: Lowered): View {
  if (narrow) return widenedIn(graph, view, narrow);
  return deferred ? elementwise(graph, deferred, [view], shapeOf(view), dtype) : view;
}

/** The array with another element type. */
export function castTo(graph: Graph, input: Lowered, dtype: ElementType): Lowered {
  if (input.dtype === dtype) return input;
  const view = settle(graph, input);
  return {
    view: elementwise(graph, "Cast", [view], shapeOf(view), dtype, { to: elementCodes[dtype] }),
    dtype,
  };
}

/** A rule for an operator that works element by element and exists in ONNX under some name. */
function elementwiseRule(op: string | ((dtype: ElementType) => string)): Rule {
  return (graph, inputs, _, [dtype]) => {
    const views = inputs.map((input) => settle(graph, input));
    const name = typeof op === "string" ? op : op(inputs[0]!.dtype);
    return [
      {
        view: elementwise(graph, name, views, broadcastShapes(...views.map(shapeOf)), dtype!),
        dtype: dtype!,
      },
    ];
  };
}

/** A rule that only edits the view. */
function movementRule(move: (graph: Graph, view: View, parameters: Parameters) => View): Rule {
  return (graph, [input], parameters) => [{ ...input!, view: move(graph, input!.view, parameters) }];
}

/** A rule for one dense tensor that becomes another by an operator with further inputs. */
function denseRule(
  op: string,
  plan: (graph: Graph, shape: number[], parameters: Parameters) => { shape: number[]; integers: number[][] },
): Rule {
  return (graph, [input], parameters, [dtype]) => {
    const dense = densify(graph, settle(graph, input!));
    const { shape, integers } = plan(graph, [...dense.shape], parameters);
    const result = graph.apply(op, [dense, ...integers.map((list) => graph.integers(list))], shape, dtype!);
    return [{ view: denseView(result.name, shape), dtype: dtype! }];
  };
}

const add: Rule = (graph, [a, b], _, [dtype]) => {
  if (dtype === "bool") return elementwiseRule("Or")(graph, [a!, b!], {}, [dtype]);
  const [first, second] = a!.deferred === "Neg" && b!.deferred !== "Neg" ? [b!, a!] : [a!, b!];
  if (second.deferred !== "Neg") return elementwiseRule("Add")(graph, [first, second], {}, [dtype!]);
  return elementwiseRule("Sub")(graph, [first, { ...second, deferred: undefined }], {}, [dtype!]);
};

const mul: Rule = (graph, [a, b], _, [dtype]) => {
  if (dtype === "bool") return elementwiseRule("And")(graph, [a!, b!], {}, [dtype]);
  const negated = [a!, b!].filter((input) => input.deferred === "Neg").length === 1;
  const [first, second] = [a!, b!].map((input) =>
    input.deferred === "Neg" ? { ...input, deferred: undefined } : input,
  ) as [Lowered, Lowered];
  const product = multiply(graph, first, second, dtype!);
  return [{ view: product, dtype: dtype!, deferred: negated ? "Neg" : undefined }];
};

function multiply(graph: Graph, a: Lowered, b: Lowered, dtype: ElementType): View {
  const shape = broadcastShapes(shapeOf(a.view), shapeOf(b.view));
  const elements = (input: Lowered) => sizeOf(graph.value(input.view.base).shape);
  for (const [over, under] of [
    [a, b],
    [b, a],
  ] as const) {
    // A quotient saves a pass only where the divisor is as large as the dividend.
    if (under.deferred === "Reciprocal" && elements(under) >= elements(over))
      return elementwise(graph, "Div", [settle(graph, over), under.view], shape, dtype);
  }
  return elementwise(graph, "Mul", [settle(graph, a), settle(graph, b)], shape, dtype);
}

function deferRule(operator: "Neg" | "Reciprocal"): Rule {
  return (graph, [input], _, [dtype]) => {
    if (input!.deferred === operator) return [{ ...input!, deferred: undefined }];
    return [{ view: settle(graph, input!), dtype: dtype!, deferred: operator }];
  };
}

const reshape: Rule = (graph, [input], { shape }) => {
  const reshaped = reshapeView(input!.view, shape);
  if (reshaped.view) return [{ ...input!, view: reshaped.view }];
  const view = input!.narrow ? settle(graph, input!) : input!.view;
  // Lay out in logical order; only axes that would be merged with others lose their broadcast.
  const order = view.axes.map((_, axis) => axis);
  const dense = layOut(graph, view, order, reshaped.blocked);
  const axes = denseView(dense.name, dense.shape).axes.map(({ stride }, i) => ({
    size: view.axes[i]!.size,
    stride,
  }));
  return [{ ...input!, view: reshapeView({ base: dense.name, axes }, shape).view!, narrow: undefined }];
};

const reductions = { Add: "ReduceSum", Mul: "ReduceProd", Max: "ReduceMax", Min: "ReduceMin" } as const;

const reduceRule: Rule = (graph, [input], { op, axis }, [dtype]) => {
  if (dtype === "bool") {
    const bits = reduceRule(graph, [castTo(graph, input!, "int32")], { op, axis }, ["int32"]);
    return bits.map((result) => castTo(graph, result, dtype));
  }
  const name = reductions[op as keyof typeof reductions];
  // The sum of negatives is the negative of the sum.
  const deferred = op === "Add" && input!.deferred === "Neg" ? input!.deferred : undefined;
  const view = deferred ? input!.view : settle(graph, input!);
  return [{ view: reduce(graph, name, view, axis, dtype!), dtype: dtype!, deferred }];
};

const comparisons = { less: "Less", less_equal: "LessOrEqual", equal: "Equal", not_equal: "Equal" } as const;

const compare: Rule = (graph, inputs, { op }) => {
  const [result] = elementwiseRule(comparisons[op as keyof typeof comparisons])(graph, inputs, {}, ["bool"]);
  return op === "not_equal" ? elementwiseRule("Not")(graph, [result!], {}, ["bool"]) : [result!];
};

const dotRule: Rule = (graph, [x, y], _, [dtype]) => {
  const negated = (x!.deferred === "Neg") !== (y!.deferred === "Neg");
  const plain = (input: Lowered) =>
    input.narrow ? input : { view: input.deferred === "Neg" ? input.view : settle(graph, input) };
  return [
    { view: dot(graph, plain(x!), plain(y!), dtype!), dtype: dtype!, deferred: negated ? "Neg" : undefined },
  ];
};

const concatenate: Rule = (graph, inputs, { axis }, [dtype]) => {
  const parts = inputs.map((input) => densify(graph, settle(graph, input)));
  const shape = [...parts[0]!.shape];
  shape[axis] = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
  return [
    { view: denseView(graph.apply("Concat", parts, shape, dtype!, { axis }).name, shape), dtype: dtype! },
  ];
};

const split: Rule = (graph, inputs, { axis, sizes }, outputs) => {
  let start = 0;
  return (sizes as number[]).flatMap((size, i) => {
    const slice = shapeOf(inputs[0]!.view).map((full, other) =>
      other === axis ? [start, start + size] : [0, full],
    );
    start += size;
    return shrink(graph, inputs, { slice }, [outputs[i]!]);
  });
};

const shrink = denseRule("Slice", (_, shape, { slice }) => ({
  shape: (slice as number[][]).map(([start, end]) => end! - start!),
  integers: [
    slice.map(([start]: number[]) => start),
    slice.map(([, end]: number[]) => end),
    shape.map((_, i) => i),
  ],
}));

const flip = denseRule("Slice", (_, shape, { axis }) => ({
  shape,
  integers: [axis.map(() => -1), axis.map(() => -(2 ** 31)), axis, axis.map(() => -1)],
}));

const pad = denseRule("Pad", (_, shape, { width }) => ({
  shape: shape.map((size, i) => size + width[i][0] + width[i][1]),
  integers: [[...width.map(([before]: number[]) => before), ...width.map(([, after]: number[]) => after)]],
}));

const gather: Rule = (graph, [x, ...indices], parameters, [dtype]) => {
  const at = indices.map((index) => settle(graph, index));
  const form = parameters as { axis: number[]; outDim: number };
  const rows = x!.narrow && widenedRows(graph, x!.view, x!.narrow, at, form);
  return [{ view: rows ?? gatherView(graph, settle(graph, x!), at, form, dtype!), dtype: dtype! }];
};

const scatter: Rule = (graph, [updates, ...indices], parameters, [dtype]) => {
  if (parameters.op !== "add" || dtype === "bool")
    throw new Error(`tensor: no ONNX rule for a ${dtype} scatter by "${parameters.op}"`);
  const at = indices.map((index) => settle(graph, index));
  const form = parameters as { axis: number[]; outDim: number; shape: number[] };
  return [{ view: scatterView(graph, settle(graph, updates!), at, form, dtype), dtype }];
};

const cast: Rule = (graph, [input], _, [dtype]) => [castTo(graph, input!, dtype!)];

const idiv: Rule = (graph, inputs, parameters, outputs) => {
  const quotient = elementwiseRule("Div")(graph, inputs, parameters, outputs);
  if (outputs[0] !== "float32") return quotient;
  // Towards zero, as integers divide: round the magnitude down, then give the sign back.
  const [magnitude] = elementwiseRule("Abs")(graph, quotient, {}, outputs);
  const floor = elementwiseRule("Floor")(graph, [magnitude!], {}, outputs);
  const sign = elementwiseRule("Sign")(graph, quotient, {}, outputs);
  return elementwiseRule("Mul")(graph, [...floor, ...sign], {}, outputs);
};

const mod: Rule = (graph, inputs, _, [dtype]) => {
  const views = inputs.map((input) => settle(graph, input));
  const shape = broadcastShapes(...views.map(shapeOf));
  return [{ view: elementwise(graph, "Mod", views, shape, dtype!, { fmod: 1 }), dtype: dtype! }];
};

const erfc: Rule = (graph, inputs, parameters, outputs) => {
  const [erf] = elementwiseRule("Erf")(graph, inputs, parameters, outputs);
  const one = { view: { base: graph.scalar(1, outputs[0]!).name, axes: [] }, dtype: outputs[0]! };
  return elementwiseRule("Sub")(graph, [one, erf!], {}, outputs);
};

/** The rules by jax-js's name of the primitive. */
export const rules: Record<string, Rule> = {
  add,
  mul,
  idiv,
  mod,
  min: elementwiseRule("Min"),
  max: elementwiseRule("Max"),
  neg: deferRule("Neg"),
  reciprocal: deferRule("Reciprocal"),
  floor: elementwiseRule("Floor"),
  ceil: elementwiseRule("Ceil"),
  stop_gradient: movementRule((_, view) => view),
  cast,
  sin: elementwiseRule("Sin"),
  cos: elementwiseRule("Cos"),
  asin: elementwiseRule("Asin"),
  atan: elementwiseRule("Atan"),
  exp: elementwiseRule("Exp"),
  log: elementwiseRule("Log"),
  erf: elementwiseRule("Erf"),
  erfc,
  sqrt: elementwiseRule("Sqrt"),
  reduce: reduceRule,
  dot: dotRule,
  compare,
  where: (graph, [condition, ...values], _, [dtype]) => {
    const views = [condition!, ...values].map((input) => settle(graph, input));
    const view = elementwise(graph, "Where", views, broadcastShapes(...views.map(shapeOf)), dtype!);
    return [{ view, dtype: dtype! }];
  },
  concatenate,
  split,
  gather,
  scatter,
  transpose: movementRule((_, view, { perm }) => transposeView(view, perm)),
  broadcast: movementRule((_, view, { shape, axis }) => broadcastView(view, shape, axis)),
  reshape,
  flip,
  shrink,
  pad,
};

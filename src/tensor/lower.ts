/** @file One rule per jax-js primitive: how it becomes views and ONNX operators. */

import { dot } from "./dot.ts";
import { broadcastShapes, elementwise, reduce } from "./elementwise.ts";
import { type ElementType, elementCodes, type Graph } from "./graph.ts";
import { densify, layOut } from "./layout.ts";
import { sizeOf } from "./types.ts";
import { broadcastView, denseView, reshapeView, shapeOf, transposeView, type View } from "./view.ts";

/** An array of the program while it is lowered. */
export interface Lowered {
  view: View;
  dtype: ElementType;
  /** The array is the negative, or the reciprocal, of the view: kept back to become part of a difference or quotient. */
  deferred?: "Neg" | "Reciprocal" | undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: parameters differ by primitive, and jax-js does not export their types.
type Parameters = Record<string, any>;
type Rule = (graph: Graph, inputs: Lowered[], parameters: Parameters, outputs: ElementType[]) => Lowered[];

/** The view of an array with nothing kept back. */
export function settle(graph: Graph, { view, dtype, deferred }: Lowered): View {
  return deferred ? elementwise(graph, deferred, [view], shapeOf(view), dtype) : view;
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

const reshape = movementRule((graph, view, { shape }) => {
  const reshaped = reshapeView(view, shape);
  if (reshaped.view) return reshaped.view;
  // Lay out in logical order; only axes that would be merged with others lose their broadcast.
  const order = view.axes.map((_, axis) => axis);
  const dense = layOut(graph, view, order, reshaped.blocked);
  const axes = denseView(dense.name, dense.shape).axes.map(({ stride }, i) => ({
    size: view.axes[i]!.size,
    stride,
  }));
  return reshapeView({ base: dense.name, axes }, shape).view!;
});

const reductions = { Add: "ReduceSum", Mul: "ReduceProd", Max: "ReduceMax", Min: "ReduceMin" } as const;

const reduceRule: Rule = (graph, [input], { op, axis }, [dtype]) => {
  const name = reductions[op as keyof typeof reductions];
  if (name === undefined || dtype === "bool")
    throw new Error(`no ONNX rule for a ${dtype} reduction by ${op}`);
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
  const plain = (input: Lowered) => (input.deferred === "Neg" ? input.view : settle(graph, input));
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

/** The axes of a gather's result, `[operand before axis, indices, operand after]`, moved to where jax-js has them. */
function indexedOrder(rank: number, indexRank: number, axis: number, outDim: number): number[] {
  const indices = Array.from({ length: indexRank }, (_, i) => axis + i);
  const others = Array.from({ length: rank - 1 + indexRank }, (_, i) => i).filter(
    (i) => !indices.includes(i),
  );
  return [...others.slice(0, outDim), ...indices, ...others.slice(outDim)];
}

const gather: Rule = (graph, [x, ...indices], { axis, outDim }, [dtype]) => {
  if (indices.length !== 1) throw new Error("no ONNX rule for a gather along several axes at once");
  const operand = densify(graph, settle(graph, x!));
  const index = densify(graph, settle(graph, indices[0]!));
  const at = axis[0] as number;
  const shape = [...operand.shape.slice(0, at), ...index.shape, ...operand.shape.slice(at + 1)];
  const result = graph.apply("Gather", [operand, index], shape, dtype!, { axis: at });
  const order = indexedOrder(operand.shape.length, index.shape.length, at, outDim);
  return [{ view: transposeView(denseView(result.name, shape), order), dtype: dtype! }];
};

const scatterReductions: Record<string, string> = { add: "add", mul: "mul", min: "min", max: "max" };

/** Zeros of a shape with updates added at an index of one axis: the transpose of `gather`. */
const scatter: Rule = (graph, [updates, ...indices], { op, shape, axis, outDim }, [dtype]) => {
  const reduction = scatterReductions[op];
  if (indices.length !== 1 || reduction !== "add")
    throw new Error(`no ONNX rule for a scatter of this form (${op})`);
  const at = axis[0] as number;
  const index = densify(graph, settle(graph, indices[0]!));
  const rank = (shape as number[]).length;
  // Bring the updates' index axes to the front and the scattered axis of the result first, as ScatterND wants.
  const view = settle(graph, updates!);
  const indexAxes = index.shape.map((_, i) => outDim + i);
  const otherAxes = view.axes.map((_, i) => i).filter((i) => !indexAxes.includes(i));
  const moved = densify(graph, transposeView(view, [...indexAxes, ...otherAxes]));
  const others = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== at);
  const resultShape = [shape[at], ...others.map((i) => shape[i])] as number[];
  const zeros = graph.apply(
    "Expand",
    [graph.scalar(0, dtype!), graph.integers(resultShape)],
    resultShape,
    dtype!,
  );
  const where = graph.apply(
    "Cast",
    [graph.reshape(index, [...index.shape, 1])],
    [...index.shape, 1],
    "int64",
    { to: 7 },
  );
  const result = graph.apply("ScatterND", [zeros, where, moved], resultShape, dtype!, { reduction });
  const back = Array.from({ length: rank }, (_, i) => (i === at ? 0 : i < at ? i + 1 : i));
  return [{ view: transposeView(denseView(result.name, resultShape), back), dtype: dtype! }];
};

const cast: Rule = (graph, [input], _, [dtype]) => {
  const view = settle(graph, input!);
  if (input!.dtype === dtype) return [{ view, dtype: dtype! }];
  return [
    {
      view: elementwise(graph, "Cast", [view], shapeOf(view), dtype!, { to: elementCodes[dtype!] }),
      dtype: dtype!,
    },
  ];
};

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

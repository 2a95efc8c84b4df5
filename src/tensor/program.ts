/** @file Compiled programs: a jax-js function that ONNX Runtime runs. */

import "./telemetry.ts";
import { availableParallelism } from "node:os";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { encodeModel } from "./onnx.ts";
import { type JaxArray, nest, startJax, trace } from "./trace.ts";
import { type MapTree, sizeOf, type Tensor, type TensorSpec, type Tree } from "./types.ts";

export interface CompileOptions {
  /** Threads for one operator; `threads()` unless given. */
  threads?: number;
}

/** Threads that a program computes with: what the variable PROBEWARD_THREADS says, or all cores that this process may use. */
export function threads(): number {
  const wanted = Number(process.env.PROBEWARD_THREADS);
  return Number.isInteger(wanted) && wanted > 0 ? wanted : availableParallelism();
}

/** The arrays that a function of specified tensors is traced with. */
export type JaxTree<T> = MapTree<T, TensorSpec, JaxArray>;

/**
 * A function of trees of tensors, compiled for fixed shapes.
 *
 * Weights are inputs like any other, so that two models of one shape share a program.
 */
export class CompiledProgram<Args extends readonly unknown[], Result> {
  readonly #session: InferenceSession;
  readonly #specs: Args;
  readonly #fetches: Record<string, OrtTensor>;
  readonly #result: Result;
  /** The lowered program as text. */
  readonly text: string;

  /** Use `compile`. */
  constructor(
    session: InferenceSession,
    specs: Args,
    fetches: Record<string, OrtTensor>,
    result: Result,
    text: string,
  ) {
    this.#session = session;
    this.#specs = specs;
    this.#fetches = fetches;
    this.#result = result;
    this.text = text;
  }

  /**
   * Runs the program. Inputs are read where they lie; outputs are written to tensors that belong to the program and
   * **stay valid until its next run**: copy what must last.
   *
   * @throws Error where an input is missing or has another shape or element type than the program was compiled for.
   */
  async run(...args: { [K in keyof Args]: MapTree<Args[K], TensorSpec, Tensor> }): Promise<Result> {
    const feeds: Record<string, OrtTensor> = {};
    let index = 0;
    const feed = (spec: Tree<TensorSpec>, value: Tree<Tensor> | undefined, path: string): void => {
      if (isSpec(spec)) {
        feeds[`in${index++}`] = feedOf(spec, value as Tensor | undefined, path);
        return;
      }
      for (const [name, inner] of Object.entries(spec))
        feed(inner, (value as Record<string, Tree<Tensor>> | undefined)?.[name], `${path}.${name}`);
    };
    this.#specs.forEach((spec, i) => {
      feed(spec as Tree<TensorSpec>, args[i] as Tree<Tensor>, `argument ${i}`);
    });
    // Inputs that no output depends on are not in the graph.
    for (const name of Object.keys(feeds)) if (!this.#session.inputNames.includes(name)) delete feeds[name];
    await this.#session.run(feeds, this.#fetches);
    return this.#result;
  }

  /** Frees the runtime's memory; the program cannot run afterwards. */
  async close(): Promise<void> {
    await this.#session.release();
  }
}

function isSpec(value: Tree<TensorSpec>): value is TensorSpec {
  return "dtype" in (value as object) && "shape" in (value as object);
}

function feedOf(spec: TensorSpec, tensor: Tensor | undefined, path: string): OrtTensor {
  const show = ({ dtype, shape }: TensorSpec) => `${dtype}[${shape}]`;
  if (!tensor) throw new Error(`program: ${path} is missing; it should be ${show(spec)}`);
  if (show(spec) !== show(tensor) || tensor.data.length !== sizeOf(spec.shape))
    throw new Error(
      `program: ${path} is ${show(tensor)} with ${tensor.data.length} elements; it should be ${show(spec)}`,
    );
  const DataType = newData(spec.dtype, 0).constructor;
  if (tensor.data.constructor !== DataType)
    throw new Error(
      `program: ${path} is ${spec.dtype} but its data is a ${tensor.data.constructor.name}; it should be a ${DataType.name}`,
    );
  return new OrtTensor(spec.dtype, tensor.data as Float32Array, spec.shape as number[]);
}

/**
 * Compiles a jax-js function for the shapes of its arguments.
 *
 * `fn` follows jax-js's rules of ownership (every array is consumed once; `.ref` keeps one).
 *
 * @throws Error naming the primitive, where the function uses one that has no rule; where an array of the function has
 *   no elements; where a result is neither float32 nor int32 nor bool.
 */
export async function compile<const Args extends readonly unknown[], Result>(
  fn: (...args: { -readonly [K in keyof Args]: JaxTree<Args[K]> }) => Result,
  specs: Args,
  options: CompileOptions = {},
): Promise<CompiledProgram<Args, MapTree<Result, JaxArray, Tensor>>> {
  await startJax();
  const { graph, structure } = trace(
    fn as (...args: never[]) => unknown,
    specs as readonly Tree<TensorSpec>[],
  );
  const session = await InferenceSession.create(encodeModel(graph), {
    intraOpNumThreads: options.threads ?? threads(),
    graphOptimizationLevel: "all",
    executionMode: "sequential",
    // What fails is thrown; ONNX Runtime would also print it.
    logSeverityLevel: 4,
    // A session's threads spin for a while after its run. Where programs take turns, that starves the next one.
    extra: { session: { force_spinning_stop: "1" } },
  });
  const fetches: Record<string, OrtTensor> = {};
  const leaves = graph.outputs.map(({ name, shape, dtype }): Tensor => {
    const data = newData(dtype as TensorSpec["dtype"], sizeOf(shape));
    fetches[name] ??= new OrtTensor(dtype as "float32", data as Float32Array, shape as number[]);
    return { shape, dtype: dtype as TensorSpec["dtype"], data: fetches[name].data as Float32Array };
  });
  const result = nest(structure, leaves) as MapTree<Result, JaxArray, Tensor>;
  return new CompiledProgram(session, specs, fetches, result, graph.toString());
}

function newData(dtype: TensorSpec["dtype"], size: number): Tensor["data"] {
  if (dtype === "float32") return new Float32Array(size);
  return dtype === "int32" ? new Int32Array(size) : new Uint8Array(size);
}

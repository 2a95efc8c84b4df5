/** @file Compiled programs with types: a jax-js function, run by a runtime on trees of tensors. */

import { onnxRuntime } from "./onnx/runtime.ts";
import { type Executable, Handle, type Runtime } from "./runtime.ts";
import { isLeaf, type JaxArray, mapTree, nest, startJax, type Traced, trace } from "./trace.ts";
import { type MapTree, newData, sizeOf, type Tensor, type TensorSpec, type Tree } from "./types.ts";

export interface CompileOptions {
  /** What runs it. Default: ONNX Runtime, in this process. */
  runtime?: Runtime | undefined;
  /** Arguments, by index, whose handles a run frees: their memory may serve its results. */
  donate?: readonly number[];
}

/** The arrays that a function of specified tensors is traced with. */
export type JaxTree<T> = MapTree<T, TensorSpec, JaxArray>;

/** What a program takes: tensors of this process, or handles of its runtime. */
export type Fed<Args> = { [K in keyof Args]: MapTree<Args[K], TensorSpec, Tensor | Handle> };

/**
 * A function of trees of tensors, compiled for fixed shapes.
 *
 * Weights are inputs like any other, so that two models of one shape share a program.
 */
export class CompiledProgram<Args extends readonly unknown[], Result> {
  /** What its runtime made of it. */
  readonly executable: Executable;
  readonly #runtime: Runtime;
  readonly #specs: Args;
  readonly #nest: <T>(leaves: T[]) => Tree<T>;
  /** What the last `evaluate` returned. */
  #evaluated: Handle[] = [];

  /** Use `compile`. */
  constructor(
    executable: Executable,
    runtime: Runtime,
    specs: Args,
    nestResult: <T>(leaves: T[]) => Tree<T>,
  ) {
    this.executable = executable;
    this.#runtime = runtime;
    this.#specs = specs;
    this.#nest = nestResult;
  }

  /** The program as its runtime runs it. */
  get text(): string {
    return this.executable.text;
  }

  /**
   * Runs the program; its results stay where it runs, and are the caller's to free.
   *
   * @throws Error where an input is missing or has another shape or element type than the program was compiled for.
   */
  async run(...args: Fed<Args>): Promise<MapTree<Result, Tensor, Handle>> {
    return this.#nest(await this.#run(args)) as MapTree<Result, Tensor, Handle>;
  }

  /** Runs the program and fetches its results, which **stay valid until the next `evaluate`**: copy what must last. */
  async evaluate(...args: Fed<Args>): Promise<Result> {
    for (const handle of this.#evaluated) this.#runtime.free(handle);
    this.#evaluated = await this.#run(args);
    return this.#nest(
      await Promise.all(this.#evaluated.map((handle) => this.#runtime.get(handle))),
    ) as Result;
  }

  async #run(args: Fed<Args>): Promise<Handle[]> {
    const leaves: (Tensor | Handle)[] = [];
    this.#specs.forEach((spec, i) => {
      collect(spec as Tree<TensorSpec>, args[i] as Tree<Tensor | Handle>, `argument ${i}`, leaves);
    });
    const handed: Handle[] = [];
    const inputs: Handle[] = [];
    for (const leaf of leaves) {
      const handle = leaf instanceof Handle ? leaf : await this.#runtime.put(leaf);
      if (handle !== leaf) handed.push(handle);
      inputs.push(handle);
    }
    try {
      return await this.executable.run(inputs);
    } finally {
      for (const handle of handed) this.#runtime.free(handle);
    }
  }

  /** Frees the runtime's memory; the program cannot run afterwards. */
  async close(): Promise<void> {
    for (const handle of this.#evaluated) this.#runtime.free(handle);
    await this.executable.close();
  }
}

/** The leaves of a value, in the order of its specification. */
function collect(
  spec: Tree<TensorSpec>,
  value: Tree<Tensor | Handle> | undefined,
  path: string,
  leaves: (Tensor | Handle)[],
): void {
  if (isLeaf(spec)) {
    leaves.push(checked(spec, value as Tensor | Handle | undefined, path));
    return;
  }
  for (const [name, inner] of Object.entries(spec))
    collect(inner, (value as Record<string, Tree<Tensor>> | undefined)?.[name], `${path}.${name}`, leaves);
}

function checked(spec: TensorSpec, leaf: Tensor | Handle | undefined, path: string): Tensor | Handle {
  const show = ({ dtype, shape }: TensorSpec) => `${dtype}[${shape}]`;
  if (!leaf) throw new Error(`program: ${path} is missing; it should be ${show(spec)}`);
  const { shape, dtype } = leaf;
  const fits =
    dtype === spec.dtype && shape.length === spec.shape.length && shape.every((n, i) => n === spec.shape[i]);
  if (leaf instanceof Handle) {
    if (fits) return leaf;
    throw new Error(`program: ${path} is ${show(leaf)}; it should be ${show(spec)}`);
  }
  if (!fits || leaf.data.length !== sizeOf(spec.shape))
    throw new Error(
      `program: ${path} is ${show(leaf)} with ${leaf.data.length} elements; it should be ${show(spec)}`,
    );
  const DataType = newData(spec.dtype, 0).constructor;
  if (leaf.data.constructor !== DataType)
    throw new Error(
      `program: ${path} is ${spec.dtype} but its data is a ${leaf.data.constructor.name}; it should be a ${DataType.name}`,
    );
  return leaf;
}

/**
 * Compiles a jax-js function for the shapes of its arguments.
 *
 * `fn` follows jax-js's rules of ownership (every array is consumed once; `.ref` keeps one).
 *
 * @throws Error naming the primitive, where the function uses one that the runtime has no rule for; where an array of the
 *   function has no elements; where a result is neither float32 nor int32 nor bool.
 */
export async function compile<const Args extends readonly unknown[], Result>(
  fn: (...args: { -readonly [K in keyof Args]: JaxTree<Args[K]> }) => Result,
  specs: Args,
  { runtime = onnxRuntime, donate = [] }: CompileOptions = {},
): Promise<CompiledProgram<Args, MapTree<Result, JaxArray, Tensor>>> {
  return compileTraced(await traceOf(fn as (...args: never[]) => unknown, specs), specs, { runtime, donate });
}

/** Traces a function for the shapes of its arguments. @throws Error as `compile` does, but for what a runtime knows */
export async function traceOf(fn: (...args: never[]) => unknown, specs: readonly unknown[]): Promise<Traced> {
  await startJax();
  return trace(fn, specs as readonly Tree<TensorSpec>[]);
}

/** Compiles what was traced before, or put together. @throws Error naming the primitive that the runtime has no rule for */
export async function compileTraced<const Args extends readonly unknown[], Result>(
  { program, structure }: Traced,
  specs: Args,
  { runtime = onnxRuntime, donate = [] }: CompileOptions = {},
): Promise<CompiledProgram<Args, Result>> {
  const donated = indicesOf(specs as readonly Tree<TensorSpec>[], donate);
  const executable = await runtime.compile(program, donated);
  return new CompiledProgram(executable, runtime, specs, (leaves) => nest(structure, leaves));
}

/** The inputs that belong to some arguments. */
function indicesOf(specs: readonly Tree<TensorSpec>[], args: readonly number[]): number[] {
  let count = 0;
  return specs.flatMap((spec, i) => {
    const own: number[] = [];
    mapTree(spec, () => own.push(count++));
    return args.includes(i) ? own : [];
  });
}

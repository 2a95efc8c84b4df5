/** @file ONNX Runtime in this process: handles are arrays of its memory, and nothing is copied on the way in or out. */

import "./telemetry.ts";
import { availableParallelism } from "node:os";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { versions } from "../../versions.ts";
import { compileByCalls } from "../calls.ts";
import { decodeByRuns } from "../decode.ts";
import { type Program, shapeOfOperand } from "../program.ts";
import { copyRows, drawRows } from "../rows.ts";
import { type Executable, Handle, type Runtime } from "../runtime.ts";
import type { Tensor } from "../types.ts";
import { encodeModel } from "./encode.ts";
import { lower } from "./lower.ts";
import { giveBack, takeTensor } from "./pool.ts";

/** Threads that a program computes with: what the variable PROBEWARD_THREADS says, or all cores that this process may use. */
export function threads(): number {
  const wanted = Number(process.env.PROBEWARD_THREADS);
  return Number.isInteger(wanted) && wanted > 0 ? wanted : availableParallelism();
}

/** ONNX Runtime in this process. All that use it share it: closing it does nothing. */
export const onnxRuntime: Runtime = {
  get info() {
    const name = "onnxruntime" as const;
    return {
      ...{ name, versions: versions(["onnxruntime-node", "@jax-js/jax"]).of, threads: threads() },
      ...{ platform: "cpu" as const, tokensPerCall: 1 },
    };
  },
  compile: async (program, donated = []) =>
    (await compileByCalls(program, donated, {
      compile: (one) => compileSession(one, []),
      free: onnxRuntime.free,
    })) ?? compileSession(program, donated),
  put: async (tensor) => new HostHandle(tensor),
  zeros: async (spec) => {
    const tensor = takeTensor(spec);
    tensor.data.fill(0);
    return new HostHandle(tensor, giveBack);
  },
  get: async (handle) => hostOf(handle).tensor,
  free: (handle) => hostOf(handle).free(),
  async copy(pairs, moves) {
    for (const { source, target } of pairs) copyRows(hostOf(source).tensor, hostOf(target).tensor, moves);
  },
  draw: async (logits, draws, temperature) => drawRows(hostOf(logits).tensor, draws, temperature),
  decode: (...args) => decodeByRuns(onnxRuntime, ...args),
  close: async () => {},
};

/** An array of this process. */
class HostHandle extends Handle {
  #tensor: Tensor | undefined;
  #own: OrtTensor | undefined;
  readonly #giveBack: ((tensor: Tensor) => void) | undefined;

  /** @param back where the tensor goes once it is freed */
  constructor(tensor: Tensor, back?: (tensor: Tensor) => void) {
    super(tensor);
    this.#tensor = tensor;
    this.#giveBack = back;
  }

  /** @throws Error where it was freed */
  get tensor(): Tensor {
    if (this.#tensor) return this.#tensor;
    throw new Error(`tensor: a ${this.dtype}[${this.shape}] was used after it had been freed`);
  }

  /** As ONNX Runtime wants it, under some shape. @throws Error where it was freed */
  as(shape: readonly number[]): OrtTensor {
    const made = () => new OrtTensor(this.dtype, this.tensor.data as Float32Array, shape as number[]);
    if (shape.join() !== this.shape.join()) return made();
    this.#own ??= made();
    return this.#own;
  }

  free(): void {
    if (this.#tensor) this.#giveBack?.(this.#tensor);
    this.#tensor = undefined;
    this.#own = undefined;
  }
}

function hostOf(handle: Handle): HostHandle {
  if (handle instanceof HostHandle) return handle;
  throw new Error("tensor: a handle of another runtime");
}

async function compileSession(program: Program, donated: readonly number[]): Promise<Executable> {
  const graph = lower(program);
  const session = await InferenceSession.create(encodeModel(graph), {
    intraOpNumThreads: threads(),
    graphOptimizationLevel: "all",
    executionMode: "sequential",
    // Planned as one block, intermediate results of a large gradient took 1.4 times the memory, in the same time.
    enableMemPattern: false,
    // What fails is thrown; ONNX Runtime would also print it.
    logSeverityLevel: 4,
    // A session's threads spin for a while after its run. Where programs take turns, that starves the next one.
    extra: { session: { force_spinning_stop: "1" } },
  });
  // Inputs that no output depends on are not in the graph.
  const known = new Set(session.inputNames);
  const fed = graph.inputs.filter(({ name }) => known.has(name));
  const outputs = graph.outputs.map(({ name, shape }, i) => ({
    ...{ name, fetched: shape, dtype: program.outputs[i]!.dtype },
    shape: shapeOfOperand(program.outputs[i]!),
    /** Two outputs may be one array, which is written once and copied. */
    first: graph.outputs.findIndex((one) => one.name === name),
  }));
  return {
    get text() {
      return graph.toString();
    },
    async run(inputs) {
      const feeds: Record<string, OrtTensor> = {};
      for (const { name, index, shape } of fed) feeds[name] = hostOf(inputs[index]!).as(shape);
      const results = outputs.map((spec) => new HostHandle(takeTensor(spec), giveBack));
      const fetches: Record<string, OrtTensor> = {};
      outputs.forEach(({ name, first, fetched }, i) => {
        if (first === i) fetches[name] = results[i]!.as(fetched);
      });
      await session.run(feeds, fetches);
      outputs.forEach(({ first }, i) => {
        if (first !== i) results[i]!.tensor.data.set(results[first]!.tensor.data);
      });
      for (const index of donated) hostOf(inputs[index]!).free();
      return results;
    },
    close: () => session.release(),
  };
}

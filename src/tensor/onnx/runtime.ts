/** @file ONNX Runtime in this process: handles are arrays of its memory, and nothing is copied on the way in or out. */

import "./telemetry.ts";
import { availableParallelism } from "node:os";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { versions } from "../../versions.ts";
import { compileByCalls } from "../calls.ts";
import { decodeByRuns } from "../decode.ts";
import { BrainTensor, type Narrow, NarrowTensor, ScaledTensor } from "../narrow.ts";
import { type Program, shapeOfOperand } from "../program.ts";
import { copyRows, drawRows } from "../rows.ts";
import { type Executable, Handle, type Runtime } from "../runtime.ts";
import { floats, type Tensor } from "../types.ts";
import { encodeModel } from "./encode.ts";
import type { Graph } from "./graph.ts";
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
      compile: async (one) => compileSession(one, []),
      free: onnxRuntime.free,
    })) ?? compileSession(program, donated),
  // Only what programs read as operands has to be widened by them.
  put: async (tensor, { asOperand = false } = {}) =>
    new HostHandle(tensor instanceof NarrowTensor && !asOperand ? floats(tensor.shape, tensor.data) : tensor),
  zeros: async (spec) => {
    const tensor = takeTensor(spec);
    tensor.data.fill(0);
    return new HostHandle(tensor, giveBack);
  },
  async get(handle) {
    const { tensor } = hostOf(handle);
    return tensor instanceof NarrowTensor ? floats(tensor.shape, tensor.data) : tensor;
  },
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

  /** How it is kept, where not as its numbers. */
  get kept(): Narrow | undefined {
    return this.tensor instanceof NarrowTensor ? this.tensor.kept : undefined;
  }

  /** As ONNX Runtime wants it, under some shape. @throws Error where it was freed */
  as(shape: readonly number[], isScales = false): OrtTensor {
    const { tensor } = this;
    const dims = shape as number[];
    const make = () => {
      if (tensor instanceof BrainTensor) return new OrtTensor("uint16", tensor.halves, dims);
      if (tensor instanceof ScaledTensor)
        return isScales
          ? new OrtTensor("float32", tensor.scales_M, dims)
          : new OrtTensor("int8", tensor.numbers, dims);
      return new OrtTensor(this.dtype, tensor.data as Float32Array, dims);
    };
    // What lies in a file is let go of again. Other shapes are rare, and as good as free.
    const isElsewhere = tensor instanceof BrainTensor && tensor.isElsewhere;
    if (isElsewhere || isScales || shape.join() !== this.shape.join()) return make();
    this.#own ??= make();
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

/** A program, compiled when it first runs, for inputs that are kept as those are. */
function compileSession(program: Program, donated: readonly number[]): Executable {
  // What has no rule fails here.
  const plain = lower(program);
  const sessions = new Map<string, Promise<Session>>();
  let closed = false;
  return {
    get text() {
      return plain.toString();
    },
    async run(inputs) {
      if (closed) throw new Error("tensor: a program was run after it had been closed");
      const handles = inputs.map(hostOf);
      const kept = handles.map((handle) => handle.kept);
      const session =
        sessions.get(kept.join()) ?? startSession(program, kept.some(Boolean) ? lower(program, kept) : plain);
      sessions.set(kept.join(), session);
      const results = await (await session).run(handles);
      for (const index of donated) handles[index]!.free();
      return results;
    },
    async close() {
      closed = true;
      // One that could not start has said so to who wanted to run it.
      for (const session of sessions.values())
        await session.then(
          (started) => started.release(),
          () => {},
        );
      sessions.clear();
    },
  };
}

interface Session {
  run(inputs: readonly HostHandle[]): Promise<HostHandle[]>;
  release(): Promise<void>;
}

async function startSession(program: Program, graph: Graph): Promise<Session> {
  const session = await InferenceSession.create(encodeModel(graph), {
    intraOpNumThreads: threads(),
    graphOptimizationLevel: "all",
    executionMode: "sequential",
    // Planned as one block, intermediate results of a large gradient took 1.4 times the memory, in the same time.
    enableMemPattern: false,
    // Each session would hold on to memory for what it widens.
    enableCpuMemArena: !graph.isNarrow,
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
    async run(inputs) {
      const feeds: Record<string, OrtTensor> = {};
      for (const { name, index, shape, isScales } of fed) feeds[name] = inputs[index]!.as(shape, isScales);
      const results = outputs.map((spec) => new HostHandle(takeTensor(spec), giveBack));
      const fetches: Record<string, OrtTensor> = {};
      outputs.forEach(({ name, first, fetched }, i) => {
        if (first === i) fetches[name] = results[i]!.as(fetched);
      });
      await session.run(feeds, fetches);
      outputs.forEach(({ first }, i) => {
        if (first !== i) results[i]!.tensor.data.set(results[first]!.tensor.data);
      });
      return results;
    },
    release: () => session.release(),
  };
}

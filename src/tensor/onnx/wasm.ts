/** @file ONNX Runtime in WebAssembly, for browsers: handles are tensors in its memory, and nothing is copied between two runs. */

import { compileByCalls } from "../calls.ts";
import { decodeByRuns } from "../decode.ts";
import { type Program, shapeOfOperand } from "../program.ts";
import { copyRows, drawRows } from "../rows.ts";
import type { Executable, Handle, Runtime } from "../runtime.ts";
import { encodeModel } from "./encode.ts";
import { Heap, HeapHandle, type OrtModule } from "./heap.ts";
import { lower } from "./lower.ts";

/** Where the module comes from. */
export interface WasmOptions {
  /** Loads the module, when something is first computed. */
  load(): Promise<OrtModule>;
  /** Threads that programs are computed with; more than 1 only in pages that are isolated from others. */
  threads: number;
  versions: Readonly<Record<string, string>>;
}

/** A runtime over a module of its own. */
export function wasmRuntime({ load, threads, versions }: WasmOptions): Runtime {
  let loading: Promise<Heap> | undefined;
  const heapOf = () => (loading ??= load().then((module) => startOrt(module, threads)));
  const runtime: Runtime = {
    info: { ...{ name: "onnxruntime", versions, threads }, ...{ platform: "cpu", tokensPerCall: 1 } },
    async compile(program, donated = []) {
      const heap = await heapOf();
      const compile = (one: Program) => compileSession(heap, one, []);
      return (
        (await compileByCalls(program, donated, { compile, free: runtime.free })) ??
        compileSession(heap, program, donated)
      );
    },
    async put(tensor) {
      const handle = new HeapHandle(await heapOf(), tensor);
      handle.tensor.data.set(tensor.data);
      return handle;
    },
    async zeros(spec) {
      const handle = new HeapHandle(await heapOf(), spec);
      handle.tensor.data.fill(0);
      return handle;
    },
    get: async (handle) => inHeap(handle).tensor,
    free: (handle) => inHeap(handle).free(),
    async copy(pairs, moves) {
      for (const { source, target } of pairs) copyRows(inHeap(source).tensor, inHeap(target).tensor, moves);
    },
    draw: async (logits, draws, temperature) => drawRows(inHeap(logits).tensor, draws, temperature),
    decode: (...args) => decodeByRuns(runtime, ...args),
    close: async () => {},
  };
  return runtime;
}

function inHeap(handle: Handle): HeapHandle {
  if (handle instanceof HeapHandle) return handle;
  throw new Error("tensor: a handle of another runtime");
}

/** What of ONNX Runtime's own messages is printed: what is fatal. What fails is thrown. */
const FATAL = 4;
const ALL_OPTIMIZATIONS = 99;
const SEQUENTIAL = 0;

function startOrt(module: OrtModule, threads: number): Heap {
  const heap = new Heap(module);
  heap.check(module._OrtInit(threads, FATAL) !== 0);
  return heap;
}

async function compileSession(heap: Heap, program: Program, donated: readonly number[]): Promise<Executable> {
  const { module } = heap;
  const graph = lower(program);
  const session = createSession(heap, encodeModel(graph));
  const known = inputNames(heap, session);
  // Inputs that no output depends on are not in the graph.
  const fed = graph.inputs.filter(({ name }) => known.has(name));
  const outputs = graph.outputs.map(({ name, shape }, i) => ({
    ...{ fetched: shape, dtype: program.outputs[i]!.dtype },
    shape: shapeOfOperand(program.outputs[i]!),
    /** Two outputs may be one array, which is written once and copied. */
    first: graph.outputs.findIndex((one) => one.name === name),
  }));
  const fetched = outputs.flatMap(({ first }, i) => (first === i ? [i] : []));
  const texts = [...fed.map(({ name }) => name), ...fetched.map((i) => graph.outputs[i]!.name)].map((name) =>
    heap.text(name),
  );
  return {
    text: graph.toString(),
    async run(inputs) {
      const results = outputs.map((spec) => new HeapHandle(heap, spec));
      const given = fed.map(({ index, shape }) => inHeap(inputs[index]!).as(shape));
      const taken = fetched.map((i) => results[i]!.as(outputs[i]!.fetched));
      heap.onStack(() => {
        const [names, values] = [heap.addresses(texts), heap.addresses([...given, ...taken])];
        const [ownNames, ownValues] = [names + 4 * given.length, values + 4 * given.length];
        const code = module._OrtRun(
          ...([session, names, values, given.length, ownNames, taken.length, ownValues, 0] as const),
        );
        heap.check(code !== 0);
      });
      outputs.forEach(({ first }, i) => {
        if (first !== i) results[i]!.tensor.data.set(results[first]!.tensor.data);
      });
      for (const index of donated) inHeap(inputs[index]!).free();
      return results;
    },
    async close() {
      module._OrtReleaseSession(session);
      for (const text of texts.splice(0)) module._free(text);
    },
  };
}

function createSession(heap: Heap, model: Uint8Array): number {
  const { module } = heap;
  const at = heap.allocate(model.length);
  module.HEAPU8.set(model, at);
  const options = module._OrtCreateSessionOptions(
    ...([ALL_OPTIMIZATIONS, true, false, SEQUENTIAL, false, 0, 0, FATAL, 0, 0] as const),
  );
  try {
    heap.check(options === 0);
    const session = module._OrtCreateSession(at, model.length, options);
    heap.check(session === 0);
    return session;
  } finally {
    if (options !== 0) module._OrtReleaseSessionOptions(options);
    module._free(at);
  }
}

function inputNames(heap: Heap, session: number): Set<string> {
  const { module } = heap;
  return heap.onStack(() => {
    const [name, about] = [heap.addresses([0]), heap.addresses([0])];
    heap.check(module._OrtGetInputOutputCount(session, name, about) !== 0);
    const count = module.getValue(name, "i32");
    return new Set(
      Array.from({ length: count }, (_, i) => {
        heap.check(module._OrtGetInputOutputMetadata(session, i, name, about) !== 0);
        const found = module.UTF8ToString(module.getValue(name, "*"));
        for (const at of [name, about]) module._OrtFree(module.getValue(at, "*"));
        return found;
      }),
    );
  });
}

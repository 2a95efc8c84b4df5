/**
 * @file ONNX Runtime's build for WebAssembly, by its own functions, and tensors that lie in its memory. The JavaScript interface of
 * onnxruntime-web copies every input in and every output out, weights and caches too, for each token that is decoded.
 */

import { Handle } from "../runtime.ts";
import { type DType, sizeOf, type Tensor, type TensorSpec } from "../types.ts";
import { elementCodes } from "./graph.ts";

/** What is used of the module that onnxruntime-web ships (the version is pinned: these functions are its own affair). */
export interface OrtModule {
  readonly HEAPU8: Uint8Array;
  _malloc(bytes: number): number;
  _free(at: number): void;
  stackSave(): number;
  stackRestore(stack: number): void;
  stackAlloc(bytes: number): number;
  getValue(at: number, type: "i32" | "*"): number;
  setValue(at: number, value: number, type: "i32" | "*"): void;
  UTF8ToString(at: number): string;
  stringToUTF8(text: string, at: number, bytes: number): void;
  lengthBytesUTF8(text: string): number;
  _OrtInit(threads: number, logLevel: number): number;
  _OrtGetLastError(code: number, message: number): number;
  _OrtCreateSessionOptions(
    ...settings: [
      optimization: number,
      arena: boolean,
      pattern: boolean,
      mode: number,
      profiling: boolean,
      profile: number,
      id: number,
      logLevel: number,
      verbosity: number,
      optimized: number,
    ]
  ): number;
  _OrtReleaseSessionOptions(options: number): number;
  _OrtCreateSession(model: number, bytes: number, options: number): number;
  _OrtReleaseSession(session: number): number;
  _OrtGetInputOutputCount(session: number, inputs: number, outputs: number): number;
  _OrtGetInputOutputMetadata(session: number, index: number, name: number, about: number): number;
  _OrtFree(at: number): number;
  _OrtCreateTensor(
    ...tensor: [type: number, data: number, bytes: number, dims: number, rank: number, place: number]
  ): number;
  _OrtReleaseTensor(tensor: number): number;
  _OrtRun(
    ...run: [
      session: number,
      inputNames: number,
      inputs: number,
      inputCount: number,
      outputNames: number,
      outputCount: number,
      outputs: number,
      options: number,
    ]
  ): number;
}

/** Bytes of an address. */
const ADDRESS = 4;
/** Where a tensor lies, in ONNX Runtime's numbers: in memory. */
const IN_MEMORY = 1;

/** The memory that a module computes in. */
export class Heap {
  readonly module: OrtModule;

  constructor(module: OrtModule) {
    this.module = module;
  }

  /** @throws Error where the browser has no more memory (or the 4 GB that addresses reach are used up) */
  allocate(bytes: number): number {
    const at = this.module._malloc(Math.max(1, bytes));
    if (at !== 0) return at;
    throw new Error(
      `tensor: no memory for ${bytes} more bytes. Give less of it (training.memoryMB), or close other tabs`,
    );
  }

  /** A text as C has it, to be freed. */
  text(text: string): number {
    const bytes = this.module.lengthBytesUTF8(text) + 1;
    const at = this.allocate(bytes);
    this.module.stringToUTF8(text, at, bytes);
    return at;
  }

  /** Addresses one after the other; valid until the stack is restored. */
  addresses(values: readonly number[]): number {
    const at = this.module.stackAlloc(Math.max(1, values.length) * ADDRESS);
    values.forEach((value, i) => {
      this.module.setValue(at + i * ADDRESS, value, "*");
    });
    return at;
  }

  /** Does something with memory of the stack, which is given back. */
  onStack<T>(action: () => T): T {
    const stack = this.module.stackSave();
    try {
      return action();
    } finally {
      this.module.stackRestore(stack);
    }
  }

  /** @throws Error with what ONNX Runtime says, where a call failed */
  check(failed: boolean): void {
    if (!failed) return;
    const at = this.module.stackAlloc(2 * ADDRESS);
    this.module._OrtGetLastError(at, at + ADDRESS);
    const message = this.module.getValue(at + ADDRESS, "*");
    throw new Error(`ONNX Runtime: ${message ? this.module.UTF8ToString(message) : "failed"}`);
  }
}

const bytesOf = ({ dtype, shape }: TensorSpec) => sizeOf(shape) * (dtype === "bool" ? 1 : 4);

/** A tensor in a module's memory. */
export class HeapHandle extends Handle {
  readonly #heap: Heap;
  #at: number;
  /** As ONNX Runtime wants it, by shape. */
  readonly #made = new Map<string, number>();

  /** Of whatever numbers. */
  constructor(heap: Heap, spec: TensorSpec) {
    super(spec);
    this.#heap = heap;
    this.#at = heap.allocate(bytesOf(spec));
  }

  /** A view of its numbers. @throws Error where it was freed */
  get tensor(): Tensor {
    const { buffer } = this.#heap.module.HEAPU8;
    return {
      shape: this.shape,
      dtype: this.dtype,
      data: viewOf(this.dtype, buffer, this.#where, this.shape),
    };
  }

  /** As ONNX Runtime wants it, under some shape. @throws Error where it was freed */
  as(shape: readonly number[]): number {
    const at = this.#where;
    const known = this.#made.get(shape.join());
    if (known !== undefined) return known;
    const { module } = this.#heap;
    const made = this.#heap.onStack(() => {
      const dims = this.#heap.addresses(shape);
      const code = elementCodes[this.dtype];
      const tensor = module._OrtCreateTensor(code, at, bytesOf(this), dims, shape.length, IN_MEMORY);
      this.#heap.check(tensor === 0);
      return tensor;
    });
    this.#made.set(shape.join(), made);
    return made;
  }

  free(): void {
    if (this.#at === 0) return;
    for (const made of this.#made.values()) this.#heap.module._OrtReleaseTensor(made);
    this.#made.clear();
    this.#heap.module._free(this.#at);
    this.#at = 0;
  }

  get #where(): number {
    if (this.#at !== 0) return this.#at;
    throw new Error(`tensor: a ${this.dtype}[${this.shape}] was used after it had been freed`);
  }
}

function viewOf(dtype: DType, buffer: ArrayBufferLike, at: number, shape: readonly number[]): Tensor["data"] {
  // The memory is shared with the module's threads, which the types of arrays would say.
  const memory = buffer as ArrayBuffer;
  if (dtype === "float32") return new Float32Array(memory, at, sizeOf(shape));
  return dtype === "int32"
    ? new Int32Array(memory, at, sizeOf(shape))
    : new Uint8Array(memory, at, sizeOf(shape));
}

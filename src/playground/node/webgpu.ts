/** @file ONNX Runtime on a GPU, by WebGPU: handles are buffers of the device, and the host sees what it asks for. */

import { decodeByRuns } from "../../tensor/decode.ts";
import { encodeModel } from "../../tensor/onnx/encode.ts";
import { lower } from "../../tensor/onnx/lower.ts";
import { withPlainProducts } from "../../tensor/onnx/plain-products.ts";
import { type Program, shapeOfOperand } from "../../tensor/program.ts";
import { drawRows } from "../../tensor/rows.ts";
import { type CopyPair, type Executable, Handle, type RowMove, type Runtime } from "../../tensor/runtime.ts";
import { type DType, sizeOf, type Tensor, type TensorSpec } from "../../tensor/types.ts";

type Ort = typeof import("onnxruntime-web/jspi");

/** What computes, and on what. */
export interface OnDevice {
  ort: Ort;
  device: GPUDevice;
}

/** A runtime over a device. @param open opens it, when something is first computed @param name of the device */
export function webgpuRuntime(
  open: () => Promise<OnDevice>,
  versions: Readonly<Record<string, string>>,
): Runtime {
  let opening: Promise<Device> | undefined;
  const opened = () => (opening ??= open().then((on) => new Device(on)));
  const runtime: Runtime = {
    info: { ...{ name: "onnxruntime", versions, threads: 1 }, ...{ platform: "gpu", tokensPerCall: 1 } },
    compile: async (program, donated = []) => (await opened()).compile(program, donated),
    put: async (tensor) => (await opened()).put(tensor),
    zeros: async (spec) => new BufferHandle((await opened()).device, spec),
    get: async (handle) => (await opened()).get(onDevice(handle)),
    free: (handle) => onDevice(handle).free(),
    copy: async (pairs, moves) => (await opened()).copy(pairs, moves),
    draw: async (logits, draws, temperature) => drawRows(await runtime.get(logits), draws, temperature),
    decode: (...args) => decodeByRuns(runtime, ...args),
    close: async () => {},
  };
  return runtime;
}

const bytesOf = ({ dtype, shape }: TensorSpec) => sizeOf(shape) * (dtype === "bool" ? 1 : 4);
/** Shaders of ONNX Runtime read whole vectors of four numbers. */
const sizeOnDevice = (bytes: number) => Math.max(16, Math.ceil(bytes / 16) * 16);

/** A tensor in a buffer; of zeros, until something is written to it. */
class BufferHandle extends Handle {
  #buffer: GPUBuffer | undefined;

  constructor(device: GPUDevice, spec: TensorSpec) {
    super(spec);
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.#buffer = device.createBuffer({ size: sizeOnDevice(bytesOf(spec)), usage });
  }

  /** @throws Error where it was freed */
  get buffer(): GPUBuffer {
    if (this.#buffer) return this.#buffer;
    throw new Error(`tensor: a ${this.dtype}[${this.shape}] was used after it had been freed`);
  }

  free(): void {
    this.#buffer?.destroy();
    this.#buffer = undefined;
  }
}

function onDevice(handle: Handle): BufferHandle {
  if (handle instanceof BufferHandle) return handle;
  throw new Error("tensor: a handle of another runtime");
}

class Device {
  readonly device: GPUDevice;
  readonly #ort: Ort;
  #copies: GPUComputePipeline | undefined;
  /** What the device has refused, which it tells later than it is asked. */
  #refused: string | undefined;

  constructor({ ort, device }: OnDevice) {
    this.#ort = ort;
    this.device = device;
    device.onuncapturederror = ({ error }) => {
      this.#refused ??= error.message;
    };
    void device.lost.then(({ message }) => {
      this.#refused ??= `it was lost: ${message}`;
    });
  }

  put(tensor: Tensor): BufferHandle {
    const handle = new BufferHandle(this.device, tensor);
    const bytes = new Uint8Array(Math.ceil(bytesOf(tensor) / 4) * 4);
    const { buffer, byteOffset, byteLength } = tensor.data;
    bytes.set(new Uint8Array(buffer, byteOffset, byteLength));
    this.device.queue.writeBuffer(handle.buffer, 0, bytes);
    return handle;
  }

  /** @throws Error where the device has refused something since it was opened */
  async get(handle: BufferHandle): Promise<Tensor> {
    const { dtype, shape } = handle;
    const size = Math.ceil(bytesOf(handle) / 4) * 4;
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const staging = this.device.createBuffer({ size: Math.max(4, size), usage });
    this.#submit((encoder) => encoder.copyBufferToBuffer(handle.buffer, 0, staging, 0, size));
    await staging.mapAsync(GPUMapMode.READ).catch((error: Error) => {
      this.#refused ??= error.message;
    });
    if (this.#refused !== undefined)
      throw new Error(`The GPU cannot be computed with (${this.#refused}). Resume without it.`);
    const copied = staging.getMappedRange().slice(0, bytesOf(handle));
    staging.destroy();
    return { dtype, shape, data: dataOf(dtype, copied) };
  }

  async compile(program: Program, donated: readonly number[]): Promise<Executable> {
    const graph = withPlainProducts(lower(program));
    const session = await this.#ort.InferenceSession.create(encodeModel(graph), {
      executionProviders: [{ name: "webgpu", device: this.device }],
      graphOptimizationLevel: "all",
      // Shapes are computed on the processor, which it would warn of each time.
      logSeverityLevel: 3,
    });
    // Inputs that no output depends on are not in the graph.
    const fed = graph.inputs.filter(({ name }) => session.inputNames.includes(name));
    const outputs = graph.outputs.map(({ name, shape }, i) => ({
      ...{ name, fetched: shape, dtype: program.outputs[i]!.dtype },
      shape: shapeOfOperand(program.outputs[i]!),
      /** Two outputs may be one array, which is written once and copied. */
      first: graph.outputs.findIndex((one) => one.name === name),
    }));
    return {
      text: graph.toString(),
      run: async (inputs) => {
        const feeds = Object.fromEntries(
          fed.map(({ name, index, shape }) => [name, this.#as(onDevice(inputs[index]!), shape)]),
        );
        const results = outputs.map((spec) => new BufferHandle(this.device, spec));
        const own = outputs.flatMap(({ name, first, fetched }, i) =>
          first === i ? [[name, this.#as(results[i]!, fetched)] as const] : [],
        );
        await session.run(feeds, Object.fromEntries(own));
        const again = outputs.flatMap(({ first }, i) => (first === i ? [] : [[first, i] as const]));
        this.#submit((encoder) => {
          for (const [first, i] of again) {
            const source = results[first]!.buffer;
            encoder.copyBufferToBuffer(source, 0, results[i]!.buffer, 0, source.size);
          }
        });
        for (const index of donated) onDevice(inputs[index]!).free();
        return results;
      },
      close: () => session.release(),
    };
  }

  /** `Runtime.copy`: each number of each move by a thread of its own. */
  copy(pairs: readonly CopyPair[], moves: readonly RowMove[]): void {
    if (moves.length === 0) return;
    const { device } = this;
    this.#copies ??= device.createComputePipeline({
      layout: "auto",
      compute: { module: device.createShaderModule({ code: COPY }), entryPoint: "copy" },
    });
    const words = new Uint32Array(
      moves.flatMap(({ from, fromAt, to, toAt, count }) => [from, fromAt, to, toAt, count]),
    );
    const made: GPUBuffer[] = [];
    const buffer = (data: Uint32Array<ArrayBuffer>, usage: number) => {
      const one = device.createBuffer({ size: data.byteLength, usage: usage | GPUBufferUsage.COPY_DST });
      device.queue.writeBuffer(one, 0, data);
      made.push(one);
      return one;
    };
    const listed = buffer(words, GPUBufferUsage.STORAGE);
    const longest = Math.max(...moves.map(({ count }) => count));
    const pipeline = this.#copies;
    this.#submit((encoder) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      for (const { source, target } of pairs) {
        const [, H, P, D] = source.shape as [number, number, number, number];
        const sizes = buffer(new Uint32Array([H, P, target.shape[2]!, D]), GPUBufferUsage.UNIFORM);
        const entries = [onDevice(source).buffer, onDevice(target).buffer, listed, sizes].map(
          (one, binding) => ({ binding, resource: { buffer: one } }),
        );
        pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
        pass.dispatchWorkgroups(Math.ceil((longest * D) / GROUP), H, moves.length);
      }
      pass.end();
    });
    for (const one of made) one.destroy();
  }

  #submit(encode: (encoder: GPUCommandEncoder) => void): void {
    const encoder = this.device.createCommandEncoder();
    encode(encoder);
    this.device.queue.submit([encoder.finish()]);
  }

  #as(handle: BufferHandle, dims: readonly number[]) {
    return this.#ort.Tensor.fromGpuBuffer(handle.buffer, { dataType: handle.dtype, dims });
  }
}

function dataOf(dtype: DType, bytes: ArrayBuffer): Tensor["data"] {
  if (dtype === "float32") return new Float32Array(bytes);
  return dtype === "int32" ? new Int32Array(bytes) : new Uint8Array(bytes);
}

/** Threads of a group. */
const GROUP = 64;

const COPY = `
struct Move { fromRow: u32, fromAt: u32, toRow: u32, toAt: u32, count: u32 }
struct Sizes { heads: u32, positions: u32, targetPositions: u32, width: u32 }
@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read_write> written: array<f32>;
@group(0) @binding(2) var<storage, read> moves: array<Move>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

@compute @workgroup_size(${GROUP})
fn copy(@builtin(global_invocation_id) at: vec3u) {
  let one = moves[at.z];
  if (at.x >= one.count * sizes.width) { return; }
  let start = ((one.fromRow * sizes.heads + at.y) * sizes.positions + one.fromAt) * sizes.width;
  let end = ((one.toRow * sizes.heads + at.y) * sizes.targetPositions + one.toAt) * sizes.width;
  written[end + at.x] = source[start + at.x];
}`;

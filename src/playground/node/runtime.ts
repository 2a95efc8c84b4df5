/** @file What `tensor/onnx/runtime.ts` is in a browser: ONNX Runtime in WebAssembly, with threads where the page is isolated from others, or on the GPU. */

import factory from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import binary from "onnxruntime-web/ort-wasm-simd-threaded.wasm?packed";
import { dependencies, devDependencies } from "../../../package.json";
import type { OrtModule } from "../../tensor/onnx/heap.ts";
import { wasmRuntime } from "../../tensor/onnx/wasm.ts";
import type { Runtime } from "../../tensor/runtime.ts";
import { ON_GPU } from "../compute.ts";
import { fetchPacked } from "../packed.ts";
import { webgpuRuntime } from "./webgpu.ts";

/** More are of no use to models of this size. */
const MOST_THREADS = 4;

/** One core is the page's: threads that wait for each other on as many as there are take longer than one alone. */
export function threads(): number {
  const free = (navigator.hardwareConcurrency ?? 1) - 1;
  return self.crossOriginIsolated ? Math.max(1, Math.min(MOST_THREADS, free)) : 1;
}

const versions = {
  "onnxruntime-web": devDependencies["onnxruntime-web"],
  "@jax-js/jax": dependencies["@jax-js/jax"],
};

/** By the name of the thread that asks. */
export const onnxRuntime: Runtime =
  self.name === ON_GPU
    ? webgpuRuntime(async () => (await import("./open-gpu.ts")).openGpu(), versions)
    : wasmRuntime({
        async load() {
          // Its threads are started from its own file: it must not be put together with others.
          const { default: create } = (await import(
            /* @vite-ignore */ new URL(factory, self.location.href).href
          )) as {
            default: (options: object) => Promise<OrtModule>;
          };
          return create({ numThreads: threads(), wasmBinary: await fetchPacked(binary) });
        },
        threads: threads(),
        versions,
      });

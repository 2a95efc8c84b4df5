/** @file ONNX Runtime in WebAssembly against the contract, in Node; a browser has it in `test/playground.browser.test.ts`. */

import { describe, it } from "vitest";
import { runtimeContract } from "../contract.ts";
import type { OrtModule } from "./heap.ts";
import { wasmRuntime } from "./wasm.ts";

const runtime = wasmRuntime({
  async load() {
    const { default: create } = await import("onnxruntime-web/ort-wasm-simd-threaded.mjs");
    return create({ numThreads: 1 }) as Promise<OrtModule>;
  },
  threads: 1,
  versions: {},
});

describe("ONNX Runtime in WebAssembly", () => {
  it.each(runtimeContract)("$promise", ({ check }) => check(runtime));
});

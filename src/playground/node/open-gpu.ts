/** @file ONNX Runtime's build for WebGPU, fetched when it is asked for. */

import * as ort from "onnxruntime-web/jspi";
import factory from "onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url";
import binary from "onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?packed";
import { fetchPacked } from "../packed.ts";
import type { OnDevice } from "./webgpu.ts";

/** Limits that large programs need more of than every device has. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupStorageSize",
] as const;
const FEATURES: readonly GPUFeatureName[] = ["subgroups", "shader-f16"];

/** @throws Error where the browser gives no device */
export async function openGpu(): Promise<OnDevice> {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: new URL(factory, self.location.href).href };
  ort.env.wasm.wasmBinary = (await fetchPacked(binary)).buffer;
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("This browser gives the page no GPU. Run without it.");
  const device = await adapter.requestDevice({
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
    requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)),
  });
  return { ort, device };
}

/** @file What others may use of the engine. */

export {
  CompiledProgram,
  type CompileOptions,
  compile,
  compileTraced,
  type Fed,
  type JaxTree,
  traceOf,
} from "./compile.ts";
export { Composer, type Wires } from "./compose.ts";
export { allFinite } from "./finite.ts";
export { halfToFloat, roundToBrainHalves, roundToHalves, widenBrainHalves, widenHalves } from "./halves.ts";
export { compileInTwo, type InTwo } from "./in-two.ts";
export { BrainTensor, type Narrow, NarrowTensor, narrowed, ScaledTensor } from "./narrow.ts";
export { onnxRuntime, threads } from "./onnx/runtime.ts";
export {
  type CopyPair,
  type DecodeRow,
  type Decoding,
  type DevicesInfo,
  type Draw,
  type Drawn,
  type Executable,
  Handle,
  type PutOptions,
  type RowMove,
  type Runtime,
  type RuntimeInfo,
  type TensorUse,
} from "./runtime.ts";
export {
  encodeSafetensors,
  safetensorsPieces,
  writeFetched,
  writeSafetensors,
} from "./safetensors.ts";
export { bytesAt, openSafetensors, readSafetensors, type TensorSource } from "./safetensors-file.ts";
export { learningRateAt, type Schedule } from "./schedule.ts";
export { type JaxArray, startJax, type Traced } from "./trace.ts";
export {
  type DType,
  type FloatTensor,
  floats,
  ints,
  type MapTree,
  sizeOf,
  type Tensor,
  type TensorSpec,
  type Tree,
} from "./types.ts";
export {
  type DryOptions,
  DryRuntime,
  type Ledger,
  type MemoryPeak,
  type ProgramCost,
  startDry,
} from "./xla/dry.ts";
export { deviceGroups } from "./xla/groups.ts";
export type { XlaOptions } from "./xla/options.ts";
export { startXla } from "./xla/start.ts";

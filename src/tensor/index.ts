/** @file What others may use of the engine. */

export { allFinite } from "./finite.ts";
export { widenBrainHalves, widenHalves } from "./halves.ts";
export { CompiledProgram, type CompileOptions, compile, type JaxTree, threads } from "./program.ts";
export {
  encodeSafetensors,
  safetensorsPieces,
  writeSafetensors,
} from "./safetensors.ts";
export { bytesAt, openSafetensors, readSafetensors, type TensorSource } from "./safetensors-file.ts";
export { learningRateAt, type Schedule } from "./schedule.ts";
export { type JaxArray, startJax } from "./trace.ts";
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

/** @file What a study file may say of what computes. */

import { z } from "zod";
import { UsageError } from "../errors.ts";
import { onnxRuntime, type Runtime, startXla } from "../tensor/index.ts";

export const engineSettingsSchema = z.strictObject({
  runtime: z
    .enum(["onnx", "xla"])
    .default("onnx")
    .describe("what runs programs: ONNX Runtime in this process, or XLA in Python processes with jax"),
  dtype: z
    .enum(["float32", "bfloat16"])
    .optional()
    .describe("xla: what operands of matrix products are rounded to; all else is float32 (default: float32)"),
  weights: z
    .enum(["float32", "bfloat16", "int8", "disk"])
    .optional()
    .describe(
      "onnx: how a checkpoint's frozen matrices are kept, and rounded, in memory, or disk: those of layers stay in their file, in bfloat16, and are read when it is their turn; each is widened to float32 when it is its turn (default: float32, but as they are in files with more than 2^30 bfloat16 weights)",
    ),
  processes: z
    .int()
    .min(1)
    .optional()
    .describe("xla: processes on each machine; all compute one program together (default: 1)"),
  nodes: z
    .int()
    .min(1)
    .optional()
    .describe(
      "xla: machines that compute one program together: nodes of a Slurm job, or see listen (default: 1)",
    ),
  listen: z
    .string()
    .optional()
    .describe("xla: HOST:PORT of this machine, where processes join that are started by hand"),
  tokenFile: z
    .string()
    .min(1)
    .optional()
    .describe(
      "xla: a file with the token of processes that are started by hand, from the study file's folder where it begins with ./ or ../",
    ),
  devices: z
    .int()
    .min(1)
    .optional()
    .describe("xla: so many devices made of a process's CPU, to try out how programs are divided"),
  data: z
    .int()
    .min(1)
    .optional()
    .describe(
      "xla: groups of devices that each hold all weights (default: one for each machine where half of its memory holds them, else 1: they are divided among all)",
    ),
  python: z
    .string()
    .min(1)
    .optional()
    .describe(
      "xla: the Python that has jax, from the study file's folder where it begins with ./ or ../ (default: what PROBEWARD_PYTHON says, else python3)",
    ),
  patience: z
    .number()
    .positive()
    .optional()
    .describe("xla: seconds that a call may take before its process counts as hung (default: 1800)"),
});

export type EngineSettings = z.infer<typeof engineSettingsSchema>;

/**
 * Starts what settings name. Close it when done.
 *
 * @param kept bytes that all weights will take there, with gradients and moments
 * @throws UsageError where it cannot be had, or a setting does not go with it
 */
export async function openRuntime(settings: EngineSettings | undefined, kept?: number): Promise<Runtime> {
  const { runtime = "onnx", weights, ...options } = settings ?? {};
  if (runtime === "xla") {
    if (weights && weights !== "float32")
      throw new UsageError(
        `engine.weights: ${weights} is for engine.runtime: onnx; on xla engine.dtype: bfloat16 says how frozen matrices are kept`,
      );
    return startXla({ ...options, kept });
  }
  const idle = Object.entries(options).find(([, value]) => value !== undefined);
  if (idle)
    throw new UsageError(`engine.${idle[0]} is for engine.runtime: xla (--runtime xla); this is onnx`);
  return onnxRuntime;
}

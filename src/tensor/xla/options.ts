/** @file How programs run on XLA: what a study file may say, and a user of the library. */

/** How programs run on XLA. */
export interface XlaOptions {
  /** The Python that has jax. Default: what the variable PROBEWARD_PYTHON says, else `python3`. */
  python?: string | undefined;
  /** What operands of matrix products are rounded to; everything else is float32 in any case. Default: float32. */
  dtype?: "float32" | "bfloat16" | undefined;
  /** So many devices of a CPU, for trying out how programs are divided. Default: the devices that there are. */
  devices?: number | undefined;
  /** So many processes on each machine. All compute one program together. Default 1. */
  processes?: number | undefined;
  /** So many machines: nodes of the Slurm job that this process is in, or see `listen`. Default 1: this one. */
  nodes?: number | undefined;
  /** Processes are started by hand, on any machines, and join at this address of this one: HOST:PORT. */
  listen?: string | undefined;
  /** A file with the token by which they are known. */
  tokenFile?: string | undefined;
  /** Groups of devices that each hold all weights. Default: one for each machine where its memory is enough (`kept`), else 1. */
  data?: number | undefined;
  /** Bytes that all weights will take, with gradients and moments. Where it is not given, they are divided among all devices. */
  kept?: number | undefined;
  /** Seconds that a call may take before the worker counts as hung. Default 1800. */
  patience?: number | undefined;
}

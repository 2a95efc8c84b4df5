/** @file What to change where a plan does not fit, or does not use what there is. */

import { USABLE } from "./peaks.ts";
import type { Plan } from "./plan-types.ts";

/** What is known beside the plan. */
interface Circumstances {
  isAdapter: boolean;
  /** Could an adapter be trained in place of all weights? */
  takesAdapter: boolean;
  /** So many devices are in one machine. */
  perMachine: number;
}

/** What to change, the first thing first; nothing where all is well. */
export function adviceOn(
  { devices: { count, data, memory }, memory: { fits, total, kinds }, dtype, memoryMB }: Omit<Plan, "advice">,
  { isAdapter, takesAdapter, perMachine }: Circumstances,
): string[] {
  const advice: string[] = [];
  const kept = kinds.weights + kinds.moments + kinds.gradients;
  const usable = USABLE * memory;
  if (!fits) {
    if (!isAdapter && takesAdapter && kinds.moments + kinds.gradients > kinds.weights / 4)
      advice.push("train an adapter in place of all weights (adapter): moments and gradients all but vanish");
    if (dtype === "float32" && isAdapter) advice.push("engine.dtype: bfloat16 halves the frozen weights");
    if (data > 1)
      advice.push(`engine.data: 1 divides the weights among all devices, and not among each ${count / data}`);
    if (kept > usable)
      advice.push(
        `weights, moments and gradients alone take ${Math.ceil((kept * (count / data)) / usable) * data} devices or more`,
      );
    else
      advice.push(
        `a smaller training.memoryMB (now ${memoryMB}): activations and temporaries take ${gigabytes(kinds.activations + kinds.temporaries)}, and ${gigabytes(usable - kept - kinds.caches)} are left for them; or more devices`,
      );
  }
  // A group for each machine: its devices hold that many times more of the weights.
  const machines = count / perMachine;
  if (machines > 1 && Number.isInteger(machines) && data === 1 && total + (machines - 1) * kept <= usable)
    advice.push(
      `engine.data: ${machines} has each machine hold all weights, and none of them sent between machines; each device then keeps ${gigabytes(machines * kept)} of weights, moments and gradients`,
    );
  return advice;
}

/** In words, to three digits. */
export function gigabytes(bytes: number): string {
  return `${Number((bytes / 1e9).toPrecision(3))} GB`;
}

/** @file Ablation: a direction projected out of the residual stream. */

import { numpy as np } from "@jax-js/jax";
import { hookNames, type ModelConfig } from "./config.ts";
import type { Edit } from "./types.ts";

/**
 * A direction that is projected out of the residual stream at a hook, and at the end of every later half-block, so that
 * no later layer can write it back (concept ablation fine-tuning, arXiv 2507.16795): x - (x . u) u, u of length 1.
 */
export interface Ablation {
  /** A `hook_resid_*` name. */
  hook: string;
  direction_D: Float32Array;
}

/** The hooks at which it edits. @throws Error where the ablation's is not in the residual stream */
export function ablatedHooks(config: ModelConfig, { hook }: Pick<Ablation, "hook">): Set<string> {
  const hooks = hookNames(config).filter((name) => name.includes("hook_resid"));
  const first = hooks.indexOf(hook);
  if (first < 0)
    throw new Error(`ablation: ${hook} is not in the residual stream; choose one of ${hooks.join(", ")}`);
  return new Set(hooks.slice(first).filter((name) => name === hook || !name.endsWith("resid_pre")));
}

/** @throws Error where the hook is not in the residual stream, or the direction has no length */
export function ablating(config: ModelConfig, { hook, direction_D }: Ablation): Edit {
  const edited = ablatedHooks(config, { hook });
  const length = Math.hypot(...direction_D);
  if (!(length > 0)) throw new Error("ablation: the direction has no length");
  const unit = Array.from(direction_D, (x) => x / length);
  return (name, x_BTD) => {
    if (!edited.has(name)) return x_BTD;
    const u_D1 = np.array(unit).reshape([config.width, 1]);
    const along_BT1 = np.dot(x_BTD.ref, u_D1.ref);
    return x_BTD.sub(along_BT1.mul(u_D1.reshape([config.width])));
  };
}

/** @file A probe that is none: what costs as much as a study's, or has its form, before there is one. */

import type { ModelInfo } from "../engine/index.ts";
import type { Probe } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import type { ProbeSettings } from "./settings.ts";

/** At an activation and positions that the settings allow, along a random direction; what it says means nothing. */
export function standInProbe({ hooks, pool }: ProbeSettings, model: ModelInfo): Probe {
  const random = randomFor("stand-in probe");
  const hook = hooks?.[0] ?? model.hooks.filter((name) => name.endsWith("hook_resid_post")).at(-1)!;
  return {
    kind: "random-direction",
    tap: { hook, positions: "completion", pool },
    weight_D: Float32Array.from({ length: model.width }, () => random() - 0.5),
    ...{ bias: 0, threshold: 0 },
  };
}

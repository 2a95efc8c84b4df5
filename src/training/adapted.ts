/** @file A run that trains adapters: one program serves policy and reference, which share what is frozen. */

import { initialAdapter, type ModelConfig, type Weights, withAdapter } from "../model/index.ts";
import { randomFor } from "../random.ts";
import type { RunContext } from "./types.ts";

/** The policy's configuration: the model's own, with the adapter where one is trained. */
export function policyConfig({ config, adapter }: Pick<RunContext, "config" | "adapter">): ModelConfig {
  return adapter ? withAdapter(config, adapter) : config;
}

/** What training starts from: a copy of all weights, or a fresh adapter. */
export function initialPolicy({ config, adapter, reference, seed }: RunContext): Weights {
  if (adapter) return initialAdapter(withAdapter(config, adapter), randomFor(seed, "adapter"));
  const copies = Object.entries(reference).map(([name, tensor]) => [
    name,
    { ...tensor, data: tensor.data.slice() },
  ]);
  return Object.fromEntries(copies);
}

/** The same run with the adapter in its configuration, and with one that is off in the reference: its B is zero. */
export function adapted(context: RunContext): RunContext {
  const { adapter, ...rest } = context;
  if (adapter === undefined) return context;
  const reference = { ...context.reference, ...initialPolicy(context) };
  return { ...rest, config: policyConfig(context), reference };
}

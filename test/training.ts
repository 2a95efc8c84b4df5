/** @file Training for real in tests, with what a policy would write at every step. */

import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Policy, STATE_FILES } from "../src/engine/index.ts";
import { readSafetensors, type Tensor } from "../src/tensor/index.ts";
import {
  type RunContext,
  type RunState,
  type StepResult,
  startPolicy,
  train,
} from "../src/training/index.ts";

/** A policy's state as it is on disk. */
export interface SavedPolicy {
  updates: number;
  weights: Record<string, Tensor>;
  moments: Record<string, Tensor>;
}

/** What a step gave, and the policy behind it. */
export interface Trained extends StepResult {
  state: RunState & { policy: SavedPolicy };
  /** Where the policy was saved. */
  folder: string;
}

const newFolder = () => mkdtemp(join(tmpdir(), "probeward-policy-"));

export async function savedPolicy(policy: Policy, folder?: string): Promise<SavedPolicy> {
  const at = folder ?? (await newFolder());
  await policy.saveState(at);
  const read = async (file: string) => (await readSafetensors(`${at}/${file}`)).tensors;
  return {
    updates: policy.updates,
    weights: await read(STATE_FILES.weights),
    moments: await read(STATE_FILES.optimizer),
  };
}

/** Trains to the end, from the beginning or from where another run stood. */
export async function trainAll(context: RunContext, from?: Trained): Promise<Trained[]> {
  const policy = await startPolicy(context);
  if (from) await policy.loadState(from.folder, from.state.policy.updates);
  const results: Trained[] = [];
  for await (const result of train(context, policy, from?.state)) {
    const folder = await newFolder();
    const saved = await savedPolicy(policy, folder);
    results.push({ ...structuredClone(result), folder, state: { ...result.state, policy: saved } });
  }
  return results;
}

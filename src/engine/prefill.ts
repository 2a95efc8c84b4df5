/** @file The program that reads prompts: the logits of what comes next, and what is cached of all their tokens. */

import { numpy as np } from "@jax-js/jax";
import {
  type Attend,
  ablating,
  byStage,
  causalAttention,
  type DecoderConfig,
  entropyOf,
  hiddenStates,
  isEmbedded,
  type KeysValues,
  leaveDecoder,
  logitsOf,
  type ModelConfig,
  type TracedWeights,
  weightSpecs,
} from "../model/index.ts";
import { compile, floats, type Handle, ints, type JaxArray, type Tensor } from "../tensor/index.ts";
import { wholeRows } from "./batches.ts";
import type { Decodes, Kept } from "./cached.ts";
import type { ProgramStore } from "./programs.ts";
import { kept, stageSpecs, throughLayers } from "./stages.ts";
import type { Given } from "./weights.ts";

/** Prompts that were read: logits [B, V] of the next token of each, and the cache of all their tokens. */
export interface ReadPrompts {
  logits: Handle;
  cache: Handle[];
}

/** What reads B prompts [B, T] that start at position 0, and end at positions `last_B`. */
export type Prefill = (weights: Given, tokens_BT: Tensor, last_B: Tensor) => Promise<ReadPrompts>;

/** How prompts are read. */
export async function prefill(
  programs: ProgramStore,
  config: ModelConfig,
  { ablate, kept: keep }: Decodes,
  [B, T]: readonly [number, number],
): Promise<Prefill> {
  if (!isEmbedded(config)) return prefillByLayers(programs, config, { ablate, kept: keep }, [B, T]);
  const edit = ablate && ablating(config, ablate);
  const program = await kept(programs, ["prefill", config, ablate, keep, B, T], () =>
    compile(
      (weights: TracedWeights, tokens_BT: JaxArray, last_B: JaxArray) => {
        const cache: KeysValues[] = [];
        const seen: Record<string, JaxArray> = {};
        const causal = causalAttention(T);
        const attend: Attend = (layer, queries, kv) => {
          cache.push({ keys: kv.keys.ref, values: kv.values.ref });
          return causal(layer, queries, kv);
        };
        const observe = (hook: string, x_BTD: JaxArray) => {
          if (keep?.hooks.includes(hook)) seen[hook] = x_BTD.ref.reshape([B, 1, T, config.width]);
        };
        const positions = np.arange(T).astype(np.int32);
        const states_BTD = hiddenStates(weights, tokens_BT, positions, config, attend, observe, edit);
        const last_BD = states_BTD.slice(np.arange(B).astype(np.int32), last_B.ref);
        const logits = logitsOf(weights, last_BD, config);
        const next = keep ? [entropyAt(logits, keep, last_B.ref, T)] : [];
        last_B.dispose();
        return { logits, cache, kept: [...(keep?.hooks ?? []).map((hook) => seen[hook]!), ...next] };
      },
      [weightSpecs(config), ints([B, T]), ints([B])] as const,
      { runtime: programs.runtime },
    ),
  );
  return async (weights, tokens_BT, last_B) => {
    const { logits, cache, kept } = await program.run(weights, tokens_BT, last_B);
    return { logits, cache: [...cache.flatMap(({ keys, values }) => [keys, values]), ...kept] };
  };
}

/** The entropy of the next token after position `last_B` of T: [B, 1, T, 1], 0 at all others. */
function entropyAt(logits_BV: JaxArray, keep: Kept, last_B: JaxArray, T: number): JaxArray {
  const B = logits_BV.shape[0]!;
  const here = np.equal(np.arange(T).astype(np.int32), last_B.reshape([B, 1])).astype(np.float32);
  const entropies = entropyOf(logits_BV.ref, keep.temperature).reshape([B, 1]);
  return here.mul(entropies).reshape([B, 1, T, 1]);
}

/** The same for a decoder: a layer at a time. */
async function prefillByLayers(
  programs: ProgramStore,
  config: DecoderConfig,
  { ablate, kept: keep }: Decodes,
  [B, T]: readonly [number, number],
): Promise<Prefill> {
  const { runtime } = programs;
  const staging = { config, programs };
  const specs = stageSpecs(config).all.leave;
  const stream = floats([B, T, config.width]);
  const leave = await kept(programs, ["leave last", config, keep?.temperature, B, T], () =>
    compile(
      (weights: TracedWeights, x_BTD: JaxArray, last_B: JaxArray) => {
        const last_BD = x_BTD.slice(np.arange(B).astype(np.int32), last_B.ref);
        const logits = logitsOf(weights, leaveDecoder(weights, last_BD, config), config);
        const next = keep ? [entropyAt(logits, keep, last_B.ref, T)] : [];
        last_B.dispose();
        return { logits, next };
      },
      [specs, stream, ints([B])] as const,
      { runtime },
    ),
  );
  const asCache = await kept(programs, ["as cache", B, T, config.width], () =>
    compile((x_BTD: JaxArray) => x_BTD.reshape([B, 1, T, config.width]), [stream] as const, { runtime }),
  );
  const layout = wholeRows(B, T);
  return async (weights, tokens, last_B) => {
    const stages = byStage(config, weights);
    const cache: Handle[] = [];
    const taps: Record<string, Handle> = {};
    const asked = { hooks: keep?.hooks ?? [], ablate, cache: true };
    const x = await throughLayers(
      staging,
      stages,
      { tokens, layout },
      asked,
      (layer, { seen, cache: added }) => {
        cache.push(...added.flatMap(({ keys, values }) => [keys, values]));
        for (const [site, value] of Object.entries(seen)) taps[`blocks.${layer}.${site}`] = value;
      },
    );
    const { logits, next } = await leave.run(stages.leave, x, last_B);
    runtime.free(x);
    for (const hook of asked.hooks) {
      cache.push(await asCache.run(taps[hook]!));
      runtime.free(taps[hook]!);
    }
    return { logits, cache: [...cache, ...next] };
  };
}

/** @file The program of generation: one more token for every completion, with a cache of what came before. */

import {
  type Attend,
  ablating,
  cacheAttention,
  entropyOf,
  hiddenStates,
  isEmbedded,
  type KeysValues,
  logitsOf,
  type ModelConfig,
  type TracedWeights,
} from "../model/index.ts";
import { compileTraced, type JaxArray, type Runtime, type Tensor, traceOf } from "../tensor/index.ts";
import { type Decodes, decodeSpecs } from "./cached.ts";
import { decoderStep } from "./decoder-step.ts";

/**
 * Compiles: logits [B, V] after one more token per row, and what is cached of that token, [B, H, 1, D] each. That is
 * copied into the cache afterwards; the program never writes it anew.
 */
export async function compileDecode(
  runtime: Runtime,
  config: ModelConfig,
  { ablate, kept: keep }: Decodes,
  B: number,
  C: number,
) {
  const specs = decodeSpecs(config, keep, B, C);
  type Decoded = { logits: Tensor; fresh: Tensor[] };
  const traced = isEmbedded(config)
    ? await traceOf(
        (weights: TracedWeights, token_B1: JaxArray, position_B1: JaxArray, ...[cache, mask_BC]: Cached) => {
          const fresh: JaxArray[] = [];
          const seen: Record<string, JaxArray> = {};
          const held = Array.from({ length: config.layers }, (_, layer): KeysValues => {
            return { keys: cache[2 * layer]!, values: cache[2 * layer + 1]! };
          });
          const attendToCache = cacheAttention(held, mask_BC);
          const attend: Attend = (layer, queries, kv) => {
            fresh.push(kv.keys.ref, kv.values.ref);
            return attendToCache(layer, queries, kv);
          };
          const observe = (hook: string, x_B1D: JaxArray) => {
            if (keep?.hooks.includes(hook)) seen[hook] = x_B1D.ref.reshape([B, 1, 1, config.width]);
          };
          const edit = ablate && ablating(config, ablate);
          const states_B1D = hiddenStates(weights, token_B1, position_B1, config, attend, observe, edit);
          mask_BC.dispose();
          const logits = logitsOf(weights, states_B1D.reshape([B, config.width]), config);
          fresh.push(...(keep?.hooks ?? []).map((hook) => seen[hook]!));
          if (keep) fresh.push(entropyOf(logits.ref, keep.temperature).reshape([B, 1, 1, 1]));
          return { logits, fresh };
        },
        specs,
      )
    : await decoderStep(config, { ablate, kept: keep }, specs);
  return compileTraced<typeof specs, Decoded>(traced, specs, { runtime });
}

type Cached = [cache: JaxArray[], mask_BC: JaxArray];

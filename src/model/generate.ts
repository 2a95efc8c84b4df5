/** @file Sampling completions with a cache of keys and values. */

import { numpy as np } from "@jax-js/jax";
import type { Random } from "../random.ts";
import { compile, type FloatTensor, floats, ints, type JaxArray, type Tensor } from "../tensor/index.ts";
import type { ModelConfig } from "./config.ts";
import { ProgramCache, roundUp } from "./programs.ts";
import { weightSpecs } from "./score.ts";
import { END_OF_TEXT } from "./tokenizer.ts";
import {
  causalAttention,
  type KeysValues,
  type TracedWeights,
  transformer,
  type Weights,
} from "./transformer.ts";

/** One sampled completion. */
export interface Completion {
  /** The sampled tokens, with the end-of-text token where it was reached. */
  tokens: number[];
  /** Log-probability of each sampled token at the sampling temperature. */
  logProbabilities: Float32Array;
  /** Was the end of text reached within the allowed length? */
  finished: boolean;
}

export interface GenerateOptions {
  /** Longest completion in tokens, the end of text included. */
  maxTokens: number;
  /** Divides the logits; above 0. Default 1. */
  temperature?: number;
  /** The random stream of each completion, by its index in the result: samples do not depend on their batch. */
  random: (index: number) => Random;
  /** Completions per prompt. Default 1. */
  samples?: number;
}

export interface Generator {
  /**
   * Samples completions: `samples` for the first prompt, then for the second, and so on.
   *
   * @throws RangeError where a prompt is empty or leaves no room for `maxTokens` in the model's context.
   */
  generate(
    weights: Weights,
    prompts: readonly (readonly number[])[],
    options: GenerateOptions,
  ): Promise<Completion[]>;
  close(): Promise<void>;
}

/** Rows decoded together at most; more completions are sampled in turns. */
const MAX_ROWS = 256;

export function createGenerator(config: ModelConfig): Generator {
  const { heads: H, layers } = config;
  const Dh = config.width / H;

  /** Logits and all keys and values of prompts that start at position 0. */
  const prefill = (B: number, T: number) =>
    compile(
      (weights: TracedWeights, tokens_BT: JaxArray) => {
        const cache: KeysValues[] = [];
        const causal = causalAttention(T);
        const logits = transformer(
          weights,
          tokens_BT,
          np.arange(T).astype(np.int32),
          config,
          (layer, queries, kv) => {
            cache.push({ keys: kv.keys.ref, values: kv.values.ref });
            return causal(layer, queries, kv);
          },
        );
        return { logits, cache };
      },
      [weightSpecs(config), ints([B, T])] as const,
    );

  /** Logits [B, 1, V] after one more token per row, and that token's keys and values [B, H, 1, Dh]. */
  const decode = (B: number, C: number) => {
    const layer = { keys: floats([B, H, C, Dh]), values: floats([B, H, C, Dh]) };
    return compile(
      (
        weights: TracedWeights,
        token_B1: JaxArray,
        position_B1: JaxArray,
        cached: KeysValues[],
        mask_BC: JaxArray,
      ) => {
        const fresh: KeysValues[] = [];
        const logits = transformer(weights, token_B1, position_B1, config, (layer, queries, kv) => {
          fresh.push({ keys: kv.keys.ref, values: kv.values.ref });
          return attendToCache(queries, cached[layer]!, kv, mask_BC.ref);
        });
        mask_BC.dispose();
        return { logits, fresh };
      },
      [weightSpecs(config), ints([B, 1]), ints([B, 1]), Array(layers).fill(layer), floats([B, C])] as [
        ReturnType<typeof weightSpecs>,
        Tensor,
        Tensor,
        { keys: FloatTensor; values: FloatTensor }[],
        FloatTensor,
      ],
    );
  };
  const prefills = new ProgramCache<Awaited<ReturnType<typeof prefill>>>(prefill);
  const decodes = new ProgramCache<Awaited<ReturnType<typeof decode>>>(decode);

  async function sampleRows(
    weights: Weights,
    rows: { prompt: readonly number[]; random: Random }[],
    maxTokens: number,
    temperature: number,
  ): Promise<Completion[]> {
    const completions = rows.map((): Completion & { logs: number[] } => ({
      tokens: [],
      logs: [],
      logProbabilities: new Float32Array(),
      finished: false,
    }));
    const take = (row: number, logits: Float32Array) => {
      const completion = completions[row]!;
      const { token, logProbability } = sampleToken(logits, temperature, rows[row]!.random);
      completion.tokens.push(token);
      completion.logs.push(logProbability);
      completion.finished = token === END_OF_TEXT;
    };

    // Equal prompts are read once.
    const prompts = [...new Map(rows.map(({ prompt }) => [prompt.join(), prompt])).values()];
    const promptOf = new Map(prompts.map((prompt, i) => [prompt.join(), i]));
    const T = roundUp(Math.max(...prompts.map((prompt) => prompt.length)), 16);
    const P = roundUp(prompts.length, 16);
    const tokens = ints([P, T], new Int32Array(P * T).fill(END_OF_TEXT));
    prompts.forEach((prompt, i) => {
      (tokens.data as Int32Array).set(prompt, i * T);
    });
    const { logits, cache } = await (await prefills.get(P, T)).run(weights, tokens);
    const V = logits.shape[2]!;
    rows.forEach(({ prompt }, row) => {
      const at = (promptOf.get(prompt.join())! * T + prompt.length - 1) * V;
      take(row, (logits.data as Float32Array).subarray(at, at + V));
    });

    // Unfinished rows are decoded in a batch that shrinks with their number and whose cache grows with their length.
    const lengthOf = (row: number) => rows[row]!.prompt.length + completions[row]!.tokens.length;
    const goesOn = (row: number) =>
      !completions[row]!.finished && completions[row]!.tokens.length < maxTokens;
    let active = rows.map((_, row) => row).filter(goesOn);
    let state = newState(active, cache as CacheTensors, T, (row) => promptOf.get(rows[row]!.prompt.join())!);
    while (active.length > 0) {
      const B = batchSize(active.length);
      const C = roundUp(Math.max(...active.map(lengthOf)), 32);
      if (B !== state.B || C !== state.C) state = repack(state, active, B, C);
      active.forEach((row) => {
        const slot = state.slots.get(row)!;
        state.token.data[slot] = completions[row]!.tokens.at(-1)!;
        state.position.data[slot] = lengthOf(row) - 1;
        // The cache holds everything before the newest token.
        const from = slot * C;
        state.mask.data
          .fill(0, from, from + lengthOf(row) - 1)
          .fill(-1e9, from + lengthOf(row) - 1, from + C);
      });
      const { logits, fresh } = await (await decodes.get(B, C)).run(
        weights,
        state.token,
        state.position,
        state.cache,
        state.mask,
      );
      for (const row of active) {
        const slot = state.slots.get(row)!;
        const position = lengthOf(row) - 1;
        state.cache.forEach(({ keys, values }, layer) => {
          writeRow(keys.data, fresh[layer]!.keys.data as Float32Array, slot, position, C);
          writeRow(values.data, fresh[layer]!.values.data as Float32Array, slot, position, C);
        });
        take(row, (logits.data as Float32Array).subarray(slot * V, (slot + 1) * V));
      }
      active = active.filter(goesOn);
    }
    return completions.map(({ tokens, logs, finished }) => ({
      tokens,
      logProbabilities: Float32Array.from(logs),
      finished,
    }));
  }

  /** Copies one token's keys or values [H, Dh] of a slot into the cache [H, C, Dh] of that slot. */
  function writeRow(
    cache: Float32Array,
    fresh: Float32Array,
    slot: number,
    position: number,
    C: number,
  ): void {
    for (let head = 0; head < H; head++) {
      const from = (slot * H + head) * Dh;
      const to = ((slot * H + head) * C + position) * Dh;
      for (let i = 0; i < Dh; i++) cache[to + i] = fresh[from + i]!;
    }
  }

  function emptyState(B: number, C: number): DecodeState {
    const layer = () => ({ keys: floats([B, H, C, Dh]), values: floats([B, H, C, Dh]) });
    return {
      B,
      C,
      slots: new Map(),
      token: ints([B, 1]),
      position: ints([B, 1]),
      mask: floats([B, C], new Float32Array(B * C).fill(-1e9)),
      cache: Array.from({ length: layers }, layer),
    };
  }

  /** A state in which each row's slot starts with its prompt's keys and values. */
  function newState(
    active: number[],
    prompts: CacheTensors,
    T: number,
    promptOf: (row: number) => number,
  ): DecodeState {
    const slots = new Map(active.map((row) => [row, promptOf(row)]));
    const source = { B: 0, C: T, slots, cache: prompts };
    return repack(source, active, batchSize(active.length), roundUp(T + 1, 32));
  }

  /** Moves rows to the slots 0, 1, ... of a state of another size. */
  function repack(
    source: Pick<DecodeState, "C" | "slots" | "cache">,
    active: number[],
    B: number,
    C: number,
  ): DecodeState {
    const state = emptyState(B, C);
    const length = Math.min(source.C, C) * Dh;
    active.forEach((row, slot) => {
      const from = source.slots.get(row)!;
      state.slots.set(row, slot);
      for (let layer = 0; layer < layers; layer++) {
        for (const part of ["keys", "values"] as const) {
          const old = source.cache[layer]![part].data;
          for (let head = 0; head < H; head++) {
            const start = (from * H + head) * source.C * Dh;
            state.cache[layer]![part].data.set(
              old.subarray(start, start + length),
              (slot * H + head) * C * Dh,
            );
          }
        }
      }
    });
    return state;
  }

  return {
    async generate(weights, prompts, { maxTokens, temperature = 1, random, samples = 1 }) {
      for (const prompt of prompts) {
        if (prompt.length === 0) throw new RangeError("generate: a prompt is empty");
        if (prompt.length + maxTokens > config.context)
          throw new RangeError(
            `generate: a prompt of ${prompt.length} tokens and ${maxTokens} new ones do not fit the model's context of ${config.context}`,
          );
      }
      const rows = prompts
        .flatMap((prompt) => Array.from({ length: samples }, () => prompt))
        .map((prompt, index) => ({ prompt, random: random(index) }));
      const completions: Completion[] = [];
      for (let start = 0; start < rows.length; start += MAX_ROWS)
        completions.push(
          ...(await sampleRows(weights, rows.slice(start, start + MAX_ROWS), maxTokens, temperature)),
        );
      return completions;
    },
    async close() {
      await prefills.close();
      await decodes.close();
    },
  };
}

type CacheTensors = { keys: FloatTensor; values: FloatTensor }[];

/** What is fed to the decoding program. */
interface DecodeState {
  /** Slots, and positions that the cache has room for. */
  B: number;
  C: number;
  /** The slot of each row that is decoded. */
  slots: Map<number, number>;
  token: Tensor;
  position: Tensor;
  /** 0 where the cache holds a token of the row, a large negative number elsewhere. */
  mask: FloatTensor;
  cache: CacheTensors;
}

/** A power of two, so that few programs serve all sizes. */
function batchSize(rows: number): number {
  return Math.max(16, 2 ** Math.ceil(Math.log2(Math.max(1, rows))));
}

/**
 * Attention of one new token to a cache [B, H, C, Dh] and to itself. The two are scored apart and joined in the
 * softmax, so that the cache is used where it lies.
 */
function attendToCache(queries: JaxArray, cached: KeysValues, own: KeysValues, mask_BC: JaxArray): JaxArray {
  const [B, C] = mask_BC.shape as [number, number];
  const scores = np
    .matmul(queries.ref, cached.keys.transpose([0, 1, 3, 2]))
    .add(mask_BC.reshape([B, 1, 1, C]));
  const ownScore = np.sum(queries.mul(own.keys), -1, { keepdims: true });
  const largest = np.maximum(np.max(scores.ref, -1, { keepdims: true }), ownScore.ref);
  const odds = np.exp(scores.sub(largest.ref));
  const ownOdds = np.exp(ownScore.sub(largest));
  const total = np.sum(odds.ref, -1, { keepdims: true }).add(ownOdds.ref);
  return np.matmul(odds, cached.values).add(ownOdds.mul(own.values)).mul(np.reciprocal(total));
}

/** Draws a token from softmax(logits / temperature) by inverting its distribution function. */
function sampleToken(
  logits: Float32Array,
  temperature: number,
  random: Random,
): { token: number; logProbability: number } {
  let largest = -Infinity;
  for (const logit of logits) if (logit > largest) largest = logit;
  let total = 0;
  for (const logit of logits) total += Math.exp((logit - largest) / temperature);
  let rest = random() * total;
  let token = 0;
  for (; token < logits.length - 1; token++) {
    rest -= Math.exp((logits[token]! - largest) / temperature);
    if (rest < 0) break;
  }
  return { token, logProbability: (logits[token]! - largest) / temperature - Math.log(total) };
}

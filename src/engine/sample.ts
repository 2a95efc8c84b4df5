/** @file Sampling completions with a cache of keys and values. */

import {
  type Ablation,
  cacheHeads,
  endTokens,
  isEmbedded,
  type ModelConfig,
  weightSpecs,
} from "../model/index.ts";
import { randomFor, randomWord } from "../random.ts";
import { type DecodeRow, type Draw, type Drawn, Handle, ints } from "../tensor/index.ts";
import { checkTokens } from "./batches.ts";
import { compileDecode, prefill } from "./decode.ts";
import { type ProgramStore, powerOfTwo, roundUp } from "./programs.ts";
import { freeCache, repack, type Source } from "./slots.ts";
import type { SampledSequence, SamplingParams } from "./types.ts";
import type { Given } from "./weights.ts";

/** How batches are shaped. */
interface Sizing {
  /** Fewest rows of a batch. */
  minRows: number;
  /** Rows decoded together at most, for sequences of some length; more completions are sampled in turns. */
  maxRows(length: number): number;
  /** Room for so many positions in the cache. */
  cacheSize(length: number): number;
}

/** Bytes that the cache of keys and values may take. */
const CACHE_BYTES = 2 ** 30;

/** A program of the embedded model compiles in a moment and its cache is small; a checkpoint's is neither. */
function sizingOf(config: ModelConfig): Sizing {
  if (isEmbedded(config))
    return { minRows: 16, maxRows: () => 256, cacheSize: (length) => roundUp(length, 32) };
  const { heads, headDim } = cacheHeads(config);
  const bytes = config.layers * heads * headDim * 2 * Float32Array.BYTES_PER_ELEMENT;
  const cacheSize = (length: number) => powerOfTwo(Math.max(64, length));
  const fitting = (length: number) => Math.floor(CACHE_BYTES / (bytes * cacheSize(length)));
  return {
    minRows: 1,
    maxRows: (length) => Math.max(1, Math.min(256, 2 ** Math.floor(Math.log2(Math.max(1, fitting(length)))))),
    cacheSize,
  };
}

/** A completion while it is sampled. */
interface Row {
  prompt: readonly number[];
  /** Addresses its draws. */
  key: Draw["key"];
  tokens: number[];
  logprobs: number[];
}

const lengthOf = ({ prompt, tokens }: Row) => prompt.length + tokens.length;

function take({ tokens, logprobs }: Row, { token, logprob }: Drawn): void {
  tokens.push(token);
  logprobs.push(logprob);
}

/** Samples with a model's weights; see `Model.sample`. */
export async function sample(
  config: ModelConfig,
  programs: ProgramStore,
  weights: Given,
  prompts: readonly (readonly number[])[],
  { samples = 1, maxTokens, temperature = 1, seed, streams, ablate }: SamplingParams,
): Promise<SampledSequence[]> {
  for (const prompt of prompts) checkPrompt(prompt, maxTokens, config);
  const { readPrompts, finishRows, inOrder, isFinished, maxRows } = sampler(config, programs, ablate);
  const rows = prompts
    .flatMap((prompt) => Array.from({ length: samples }, () => prompt))
    .map((prompt, index): Row => {
      const random = randomFor(...seed, streams?.[index] ?? index);
      return { prompt, key: [randomWord(random), randomWord(random)], tokens: [], logprobs: [] };
    });
  const together = maxRows(Math.max(0, ...prompts.map((prompt) => prompt.length)) + maxTokens);
  for (let start = 0; start < rows.length; start += together) {
    const batch = rows.slice(start, start + together);
    const read = await readPrompts(weights, batch, temperature);
    await finishRows(await inOrder(weights), batch, read, maxTokens, temperature);
  }
  return rows.map((row) => ({
    tokens: row.tokens,
    logprobs: Float32Array.from(row.logprobs),
    stopReason: isFinished(row) ? "stop" : "length",
  }));
}

/** The two halves of sampling, for one configuration. */
function sampler(config: ModelConfig, programs: ProgramStore, ablate: Ablation | undefined) {
  const ends = new Set(endTokens(config));
  const { runtime } = programs;
  const isFinished = ({ tokens }: Row) => ends.has(tokens.at(-1)!);
  const { minRows, maxRows, cacheSize } = sizingOf(config);
  /** A power of two, so that few programs serve all sizes. */
  const batchSize = (rows: number) => Math.max(minRows, powerOfTwo(Math.max(1, rows)));
  const kind = JSON.stringify([config, ablate]);
  const decodes = programs.cache(`decode ${kind}`, (B, C) => compileDecode(runtime, config, ablate, B!, C!));

  /** Reads the prompts and draws every row's first token. Returns the prompts' keys and values. */
  async function readPrompts(weights: Given, rows: Row[], temperature: number): Promise<Source> {
    // Equal prompts are read once.
    const index = new Map<string, number>();
    const prompts = rows
      .map(({ prompt }) => prompt)
      .filter((prompt) => {
        const isNew = !index.has(prompt.join());
        if (isNew) index.set(prompt.join(), index.size);
        return isNew;
      });
    const T = roundUp(Math.max(...prompts.map((prompt) => prompt.length)), 16);
    const P = roundUp(prompts.length, minRows);
    const tokens = ints([P, T]);
    const last = ints([P]);
    prompts.forEach((prompt, i) => {
      (tokens.data as Int32Array).set(prompt, i * T);
      last.data[i] = prompt.length - 1;
    });
    const read = await prefill(programs, config, ablate, [P, T]);
    const { logits, cache } = await read(weights, tokens, last);
    const of = new Map(rows.map(({ prompt }, row) => [row, index.get(prompt.join())!]));
    await draw(logits, rows, (i) => of.get(i)!, temperature);
    return { C: T, of, cache };
  }

  /** Goes on until every row has ended, in a batch that shrinks with them and a cache that grows with their length. */
  async function finishRows(
    weights: readonly Handle[],
    rows: Row[],
    prompts: Source,
    maxTokens: number,
    temperature: number,
  ) {
    const goesOn = (i: number) => !isFinished(rows[i]!) && rows[i]!.tokens.length < maxTokens;
    let active = rows.map((_, i) => i).filter(goesOn);
    const sized = [batchSize(active.length), cacheSize(prompts.C + 1)] as const;
    let slots = await repack(runtime, prompts, active, ...sized, config);
    while (active.length > 0) {
      const B = batchSize(active.length);
      // All that go on have drawn as many.
      const count = Math.min(runtime.info.tokensPerCall, maxTokens - rows[active[0]!]!.tokens.length);
      const longest = Math.max(...active.map((i) => lengthOf(rows[i]!)));
      const C = cacheSize(longest + count - 1);
      if (B !== slots.B || C !== slots.C) slots = await repack(runtime, slots, active, B, C, config);
      const program = await decodes.get(B, C);
      const { of, cache } = slots;
      const decoding = {
        ...{ weights, temperature, ends: [...ends] },
        caches: cache.flatMap(({ keys, values }) => [keys, values]),
        rows: active.map((i): DecodeRow => {
          const { key, tokens } = rows[i]!;
          const position = lengthOf(rows[i]!) - 1;
          return { slot: of.get(i)!, token: tokens.at(-1)!, position, key, drawn: tokens.length };
        }),
      };
      const drawn = await runtime.decode(program.executable, decoding, count);
      active.forEach((i, r) => {
        for (const one of drawn[r]!) if (goesOn(i)) take(rows[i]!, one);
      });
      active = active.filter(goesOn);
    }
    freeCache(runtime, slots.cache);
  }

  /** Weights in the order of the decoding program. */
  async function inOrder(weights: Given): Promise<Handle[]> {
    const placed: Handle[] = [];
    for (const name of Object.keys(weightSpecs(config))) {
      const weight = weights[name]!;
      placed.push(weight instanceof Handle ? weight : await runtime.put(weight));
    }
    return placed;
  }

  /** Draws every row's next token from its place in the logits [B, V], and frees those. */
  async function draw(logits: Handle, rows: Row[], placeOf: (i: number) => number, temperature: number) {
    const draws = rows.map(({ key, tokens }, i): Draw => ({ row: placeOf(i), key, position: tokens.length }));
    const drawn = await runtime.draw(logits, draws, temperature);
    runtime.free(logits);
    drawn.forEach((one, i) => {
      take(rows[i]!, one);
    });
  }

  return { readPrompts, finishRows, inOrder, isFinished, maxRows };
}

function checkPrompt(prompt: readonly number[], maxTokens: number, config: ModelConfig): void {
  const { context } = config;
  if (prompt.length === 0) throw new RangeError("sample: a prompt is empty");
  checkTokens(prompt, config);
  if (prompt.length + maxTokens > context)
    throw new RangeError(
      `sample: a prompt of ${prompt.length} tokens and ${maxTokens} new ones do not fit the model's context of ${context}`,
    );
}

/** @file Completions that are sampled a token at a time, beside others that come and go, with a cache of keys and values. */

import { endTokens, type ModelConfig, weightSpecs } from "../model/index.ts";
import { randomFor, randomWord } from "../random.ts";
import { type DecodeRow, type Draw, type Drawn, Handle, ints, type Runtime } from "../tensor/index.ts";
import { checkTokens } from "./batches.ts";
import type { Decodes } from "./cached.ts";
import { compileDecode } from "./decode.ts";
import { prefill } from "./prefill.ts";
import { type ProgramCache, type ProgramStore, powerOfTwo, roundUp } from "./programs.ts";
import { type DecodingRoom, type Sizing, sizingOf } from "./sizing.ts";
import { freeAll, repack, type Slots, type Source } from "./slots.ts";
import type { DecodedToken, Decoder, DecodingRequest } from "./types.ts";
import type { Given } from "./weights.ts";

/** A completion under way. */
interface Row {
  prompt: readonly number[];
  /** Addresses its draws. */
  key: Draw["key"];
  maxTokens: number;
  /** How many tokens it has, and the newest. */
  count: number;
  newest: number;
  /** It has ended, and is only there until its last token is cached. */
  ended: boolean;
}

/** Takes what is cached of completions that have ended: where they are, and how many of their tokens are there. */
export type TakeCached = (
  cache: readonly Handle[],
  ended: readonly { completion: number; slot: number; length: number }[],
) => Promise<void>;

/** Sees what a step has cached: where, and of which positions of each completion. */
export type SeeCached = (
  cache: readonly Handle[],
  fresh: readonly { completion: number; slot: number; from: number; to: number }[],
) => Promise<void>;

/** How it decodes, and what takes the cached of completions that have ended: where it is given, the last token is cached, too. */
export interface DecoderOptions extends Decodes, Pick<DecodingRoom, "memoryMB"> {
  temperature: number;
  takeCached?: TakeCached | undefined;
  seeCached?: SeeCached | undefined;
}

/** Where a row's newest token stands. */
const newestAt = ({ prompt, count }: Row) => prompt.length + count - 1;

export class RunningDecoder implements Decoder {
  readonly #config: ModelConfig;
  readonly #programs: ProgramStore;
  readonly #runtime: Runtime;
  readonly #decodes: ProgramCache<Awaited<ReturnType<typeof compileDecode>>>;
  readonly #weights: Given;
  readonly #options: DecoderOptions;
  readonly #sizing: Sizing;
  readonly #ends: ReadonlySet<number>;
  /** Those under way, in the order in which they were begun. */
  readonly #rows = new Map<number, Row>();
  /** Those of them whose prompts are not read yet. */
  #unread: number[] = [];
  /** Those to be forgotten at the next step: one that is on its way goes on undisturbed. */
  #dropped: number[] = [];
  #begun = 0;
  #slots: Slots | undefined;

  /** Weights in the order of the decoding program. */
  #inOrder: Promise<Handle[]> | undefined;

  constructor(config: ModelConfig, programs: ProgramStore, weights: Given, options: DecoderOptions) {
    this.#config = config;
    this.#programs = programs;
    this.#runtime = programs.runtime;
    this.#weights = weights;
    this.#options = options;
    const { memoryMB } = options;
    this.#sizing = sizingOf(config, { memoryMB, devices: this.#runtime.info.devices });
    this.#ends = new Set(endTokens(config));
    const { ablate, kept } = options;
    this.#decodes = programs.cache(`decode ${JSON.stringify([config, ablate, kept])}`, (B, C) =>
      compileDecode(this.#runtime, config, { ablate, kept }, B!, C!),
    );
  }

  /** Completions that are not done with. */
  get under(): number {
    return this.#rows.size;
  }

  room(length: number): number {
    return this.#sizing.maxRows(length);
  }

  begin({ prompt, maxTokens, seed }: DecodingRequest): number {
    checkPrompt(prompt, maxTokens, this.#config);
    const random = randomFor(...seed);
    const key = [randomWord(random), randomWord(random)] as const;
    const completion = this.#begun++;
    this.#rows.set(completion, { prompt, key, maxTokens, count: 0, newest: 0, ended: false });
    this.#unread.push(completion);
    return completion;
  }

  drop(completion: number): void {
    this.#dropped.push(completion);
  }

  async step(): Promise<DecodedToken[]> {
    for (const completion of this.#dropped.splice(0)) this.#rows.delete(completion);
    const unread = this.#unread.splice(0).filter((completion) => this.#rows.has(completion));
    const read = [...this.#rows.keys()];
    const drawn = await (unread.length > 0 ? this.#readPrompts(unread) : this.#decode(read));
    if (this.#rows.size === 0) this.#freeSlots();
    return drawn;
  }

  close(): void {
    this.#rows.clear();
    this.#freeSlots();
  }

  /** Reads prompts, draws every row's first token, and gives those that go on their slots. */
  async #readPrompts(fresh: readonly number[]): Promise<DecodedToken[]> {
    const rows = fresh.map((completion) => this.#rows.get(completion)!);
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
    const P = roundUp(prompts.length, this.#sizing.minRows);
    const tokens = ints([P, T]);
    const last = ints([P]);
    prompts.forEach((prompt, i) => {
      (tokens.data as Int32Array).set(prompt, i * T);
      last.data[i] = prompt.length - 1;
    });
    const read = await prefill(this.#programs, this.#config, this.#options, [P, T]);
    const { logits, cache } = await read(this.#weights, tokens, last);
    const of = new Map(
      fresh.map((completion, i) => [completion, index.get(rows[i]!.prompt.join())!] as const),
    );
    const draws = fresh.map((completion, i) => ({
      row: of.get(completion)!,
      key: rows[i]!.key,
      position: 0,
    }));
    const drawn = await this.#runtime.draw(logits, draws, this.#options.temperature);
    this.#runtime.free(logits);
    const taken = fresh.flatMap((completion, i) => this.#take(completion, [drawn[i]!]));
    await this.#repack([...(this.#slots ? [this.#slots] : []), { C: T, of, cache }], 1);
    return taken;
  }

  /** The next tokens of every row, in a batch that shrinks and grows with them and a cache that grows with their length. */
  async #decode(active: readonly number[]): Promise<DecodedToken[]> {
    if (active.length === 0) return [];
    const rows = active.map((completion) => ({ completion, row: this.#rows.get(completion)! }));
    const left = rows.flatMap(({ row: { maxTokens, count, ended } }) => (ended ? [] : maxTokens - count));
    const count = left.length === 0 ? 1 : Math.min(this.#runtime.info.tokensPerCall, ...left);
    const [B, C] = this.#sizes(count);
    if (B !== this.#slots?.B || C !== this.#slots.C)
      await this.#repack(this.#slots ? [this.#slots] : [], count);
    const { of, cache } = this.#slots!;
    const { executable } = await this.#decodes.get(B, C);
    this.#inOrder ??= inOrder(this.#config, this.#weights, this.#runtime);
    const decoding = {
      ...{ weights: await this.#inOrder, temperature: this.#options.temperature, ends: [...this.#ends] },
      caches: cache,
      rows: rows.map(({ completion, row }): DecodeRow => {
        const { key, newest: token, count: drawn } = row;
        return { slot: of.get(completion)!, token, position: newestAt(row), key, drawn };
      }),
    };
    const drawn = await this.#runtime.decode(executable, decoding, count);
    /** A token is cached once another one is drawn after it. */
    const cached = new Map(
      rows.map(({ completion, row }, r) => {
        return [completion, { from: newestAt(row), to: newestAt(row) + drawn[r]!.length }] as const;
      }),
    );
    const taken = rows.flatMap(({ completion, row }, r) =>
      row.ended ? [] : this.#take(completion, drawn[r]!),
    );
    const done = rows.filter(
      ({ completion, row }) => row.ended && newestAt(row) < cached.get(completion)!.to,
    );
    const ended = done.map(({ completion, row }) => {
      return { completion, slot: of.get(completion)!, length: newestAt(row) + 1 };
    });
    const fresh = rows.map(({ completion, row }) => {
      const { from, to } = cached.get(completion)!;
      return { completion, slot: of.get(completion)!, from, to: Math.min(to, newestAt(row) + 1) };
    });
    await this.#options.seeCached?.(cache, fresh);
    if (ended.length > 0) await this.#options.takeCached?.(cache, ended);
    for (const { completion } of ended) this.#rows.delete(completion);
    return taken;
  }

  /** Adds what was drawn to a completion, up to its end; one that ends is under way no more, unless what is cached of it is wanted. */
  #take(completion: number, drawn: readonly Drawn[]): DecodedToken[] {
    const row = this.#rows.get(completion)!;
    const taken: DecodedToken[] = [];
    for (const one of drawn) {
      row.newest = one.token;
      row.count++;
      const ended = this.#ends.has(one.token) ? "stop" : row.count >= row.maxTokens && "length";
      taken.push({ completion, ...one, ...(ended && { stopReason: ended }) });
      if (!ended) continue;
      row.ended = true;
      if (!this.#options.takeCached) this.#rows.delete(completion);
      break;
    }
    return taken;
  }

  /** Rows and positions of the batch that decodes so many tokens: powers of two, or the like, so that few programs serve all sizes. */
  #sizes(count: number): [B: number, C: number] {
    const { minRows, cacheSize } = this.#sizing;
    const read = [...this.#rows.values()].filter((row) => row.count > 0);
    return [
      minRows * powerOfTwo(Math.max(1, read.length / minRows)),
      cacheSize(Math.max(...read.map((row) => newestAt(row) + count))),
    ];
  }

  /** Brings those under way from where they are into one batch that decodes so many tokens. */
  async #repack(sources: readonly Source[], count: number): Promise<void> {
    const rows = [...this.#rows].filter(([, row]) => row.count > 0).map(([completion]) => completion);
    if (rows.length === 0) {
      for (const { cache } of sources) freeAll(this.#runtime, cache);
      this.#slots = undefined;
    } else this.#slots = await repack(this.#runtime, sources, rows, ...this.#sizes(count));
  }

  #freeSlots(): void {
    if (this.#slots) freeAll(this.#runtime, this.#slots.cache);
    this.#slots = undefined;
  }
}

async function inOrder(config: ModelConfig, weights: Given, runtime: Runtime): Promise<Handle[]> {
  const placed: Handle[] = [];
  for (const name of Object.keys(weightSpecs(config))) {
    const weight = weights[name]!;
    placed.push(weight instanceof Handle ? weight : await runtime.put(weight));
  }
  return placed;
}

/** @throws RangeError where it cannot be sampled from */
export function checkPrompt(prompt: readonly number[], maxTokens: number, config: ModelConfig): void {
  const { context } = config;
  if (prompt.length === 0) throw new RangeError("sample: a prompt is empty");
  checkTokens(prompt, config);
  if (prompt.length + maxTokens > context)
    throw new RangeError(
      `sample: a prompt of ${prompt.length} tokens and ${maxTokens} new ones do not fit the model's context of ${context}`,
    );
}

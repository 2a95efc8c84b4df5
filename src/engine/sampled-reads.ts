/** @file What is read of completions while they are sampled: decoding caches it, as it does keys and values. */

import type { ModelConfig } from "../model/index.ts";
import { writtenPositions } from "../probe/index.ts";
import type { Handle, Runtime } from "../tensor/index.ts";
import { cacheSizes, type Kept } from "./cached.ts";
import type { TakeCached } from "./decoder.ts";
import { type ProgramStore, powerOfTwo } from "./programs.ts";
import { hookOf, readBatch } from "./read.ts";
import { sizingOf } from "./sizing.ts";
import { freeAll } from "./slots.ts";
import type { ForwardOutput, Read, Sequence } from "./types.ts";

/** Activations and entropies of completions that have ended, each in a row of its own. */
export class SampledReads {
  readonly #programs: ProgramStore;
  readonly #runtime: Runtime;
  readonly #kept: Kept;
  readonly #sizes: [H: number, D: number][];
  readonly #count: number;
  readonly #positions: number;
  /** [rows, 1, positions, D] each, in the order in which they are cached. */
  #rows: Handle[] = [];

  /** @param count of completions, which are numbered from 0 @param longest tokens of a sequence, at most */
  constructor(config: ModelConfig, programs: ProgramStore, kept: Kept, count: number, longest: number) {
    this.#programs = programs;
    this.#runtime = programs.runtime;
    this.#kept = kept;
    this.#sizes = cacheSizes(config, kept).slice(-(kept.hooks.length + 1));
    this.#count = powerOfTwo(count);
    this.#positions = sizingOf(config).cacheSize(longest);
  }

  readonly take: TakeCached = async (cache, ended) => {
    if (this.#rows.length === 0)
      for (const [H, D] of this.#sizes) {
        const shape = [this.#count, H, this.#positions, D];
        this.#rows.push(await this.#runtime.zeros({ shape, dtype: "float32" }));
      }
    const own = cache.slice(-this.#sizes.length);
    const moves = ended.map(({ completion, slot, length }) => {
      return { from: slot, fromAt: 0, to: completion, toAt: 0, count: length };
    });
    await this.#runtime.copy(
      own.map((source, i) => ({ source, target: this.#rows[i]! })),
      moves,
    );
  };

  /** What was read of each, in the order of their numbers. */
  async read(
    reads: readonly Read[],
    sequences: readonly Sequence[],
  ): Promise<Omit<ForwardOutput, "logprobs">[]> {
    const { hooks } = this.#kept;
    const read: Float32Array[][] = [];
    const where = {
      indices: [...sequences.keys()],
      at: (row: number, t: number) => row * this.#positions + t,
    };
    for (const one of reads) {
      const activations = this.#rows[hooks.indexOf(hookOf(one))]!;
      read.push(await readBatch(this.#programs, one, activations, where, sequences, 0));
    }
    const { data } = await this.#runtime.get(this.#rows.at(-1)!);
    return sequences.map((sequence, row) => ({
      // The token at position t is predicted at position t - 1.
      entropies: Float32Array.from(writtenPositions(sequence), (t) => data[where.at(row, t - 1)]!),
      reads: read.map((ofRows) => ofRows[row]!),
    }));
  }

  close(): void {
    freeAll(this.#runtime, this.#rows);
    this.#rows = [];
  }
}

/** @file Programs compiled once per shape and kept. */

import { onnxRuntime, type Runtime } from "../tensor/index.ts";

/** What has to be freed. */
export interface Closable {
  /** Frees it. */
  close(): Promise<void>;
}

/** Keeps what `create` makes for each list of sizes; `close` frees all of it. */
export class ProgramCache<P extends Closable> {
  readonly #programs = new Map<string, Promise<P>>();
  readonly #create: (...sizes: number[]) => Promise<P>;

  constructor(create: (...sizes: number[]) => Promise<P>) {
    this.#create = create;
  }

  get(...sizes: number[]): Promise<P> {
    const key = sizes.join();
    let program = this.#programs.get(key);
    if (program === undefined) {
      program = this.#create(...sizes);
      this.#programs.set(key, program);
    }
    return program;
  }

  async close(): Promise<void> {
    const programs = await Promise.all(this.#programs.values());
    this.#programs.clear();
    for (const program of programs) await program.close();
  }
}

/**
 * Programs of several kinds, kept until all who share the store have closed it. Weights are inputs, so that all runs on one
 * model's shape can share a store: compiling takes seconds.
 */
export class ProgramStore {
  readonly #caches = new Map<string, Closable>();
  #users = 1;
  /** What runs them. */
  readonly runtime: Runtime;

  constructor(runtime: Runtime = onnxRuntime) {
    this.runtime = runtime;
  }

  /** The programs of a kind. `kind` must say everything that `create` depends on, but for the sizes. */
  cache<P extends Closable>(kind: string, create: (...sizes: number[]) => Promise<P>): ProgramCache<P> {
    const known = this.#caches.get(kind) ?? new ProgramCache(create);
    this.#caches.set(kind, known);
    return known as ProgramCache<P>;
  }

  /** The store, for one more who closes it. */
  shared(): this {
    this.#users++;
    return this;
  }

  /** Frees all programs, unless others share them. */
  async close(): Promise<void> {
    if (--this.#users > 0) return;
    for (const cache of this.#caches.values()) await cache.close();
    this.#caches.clear();
  }
}

/** The smallest multiple of `step` that is at least `size`: few shapes serve many lengths. */
export function roundUp(size: number, step: number): number {
  return Math.ceil(size / step) * step;
}

/** The smallest of 1, 2, 3, 4, 6, 8, 12, ... that is at least `size`: two sizes to an octave. */
export function halfOctave(size: number): number {
  const power = powerOfTwo(size);
  return size > 1 && 0.75 * power >= size ? 0.75 * power : power;
}

/** The smallest power of two that is at least `size`. */
export function powerOfTwo(size: number): number {
  return 2 ** Math.ceil(Math.log2(size));
}

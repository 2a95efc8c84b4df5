/** @file Programs compiled once per shape and kept. */

/** Keeps what `create` makes for each list of sizes; `close` frees all of it. */
export class ProgramCache<P extends { close(): Promise<void> }> {
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

/** The smallest multiple of `step` that is at least `size`: few shapes serve many lengths. */
export function roundUp(size: number, step: number): number {
  return Math.ceil(size / step) * step;
}

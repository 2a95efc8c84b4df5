/** @file Completions that are followed while they are sampled: what a probe says at each token, once decoding has cached it. */

import type { Kept } from "./cached.ts";
import type { SeeCached } from "./decoder.ts";
import type { ProgramStore } from "./programs.ts";
import { readBatch } from "./read.ts";
import type { DecodedToken, FollowedToken, Follower, Read } from "./types.ts";

/** One that is followed. */
interface Followed {
  tokens: number[];
  /** Of those that the model has read. */
  logits: number[];
  ended: boolean;
  /** How many tokens were told. */
  told: number;
}

/** Those of a batch of completions that somebody follows. */
export class FollowedReads {
  readonly #programs: ProgramStore;
  readonly #kept: Kept;
  readonly #follower: Follower;
  readonly #readsLast: boolean;
  /** By their numbers in the batch, and those that the follower knows them by. */
  readonly #followed: ReadonlyMap<number, Followed & { number: number }>;

  /**
   * @param batch numbers of the batch's completions, as the follower counts: from the first, and how many
   * @param readsLast whether the model reads last tokens, too
   */
  constructor(
    programs: ProgramStore,
    kept: Kept,
    follower: Follower,
    batch: { start: number; count: number },
    readsLast: boolean,
  ) {
    this.#programs = programs;
    this.#kept = kept;
    this.#follower = follower;
    this.#readsLast = readsLast;
    const here = follower.completions.filter((one) => one >= batch.start && one < batch.start + batch.count);
    this.#followed = new Map(
      here.map((number) => [number - batch.start, { number, tokens: [], logits: [], ended: false, told: 0 }]),
    );
  }

  readonly see: SeeCached = async (cache, fresh) => {
    const own = fresh.filter(({ completion, from, to }) => this.#followed.has(completion) && from < to);
    if (own.length === 0) return;
    const { probe } = this.#follower;
    const { hooks } = this.#kept;
    // Behind keys and values, and before entropies.
    const activations = cache.at(-1 - hooks.length + hooks.indexOf(probe.tap.hook))!;
    const positions = activations.shape.at(-2)!;
    const read: Read = { as: "logits", probe, positions: "completion" };
    // What is new, as if it were all of the completion.
    const sequences = own.map(({ from, to }) => ({ tokens: new Array<number>(to), promptLength: from }));
    const where = {
      indices: [...own.keys()],
      at: (i: number, t: number) => own[i]!.slot * positions + t,
    };
    const logits = await readBatch(this.#programs, read, activations, where, sequences, 0);
    own.forEach(({ completion }, i) => {
      this.#followed.get(completion)!.logits.push(...logits[i]!);
    });
  };

  /** Takes what a step has drawn, and tells what can be told. */
  tell(drawn: readonly DecodedToken[]): void {
    for (const { completion, token, stopReason } of drawn) {
      const followed = this.#followed.get(completion);
      followed?.tokens.push(token);
      if (followed && stopReason) followed.ended = true;
    }
    const news: FollowedToken[] = [];
    for (const followed of this.#followed.values()) {
      const { number: completion, tokens, logits, ended } = followed;
      const end = ended && !this.#readsLast ? tokens.length : logits.length;
      for (; followed.told < end; followed.told++) {
        const last = ended && followed.told === tokens.length - 1;
        const [token, logit] = [tokens[followed.told]!, logits[followed.told] ?? null];
        news.push({ completion, token, logit, last });
      }
    }
    if (news.length > 0) this.#follower.onTokens(news);
  }
}

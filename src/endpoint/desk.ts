/** @file A model that several ask at a time: their completions share its decoder, wait where there is no room, and are read by probes. */

import { setImmediate } from "node:timers/promises";
import type { DecodedToken, Decoder, DecodingRequest, Model } from "../engine/index.ts";
import type { Tokenizer } from "../model/index.ts";
import type { Probe } from "../probe/types.ts";
import { readingsOf, readProbe, readsOf } from "../training/index.ts";

/** One completion that is asked for. */
export interface Order extends DecodingRequest {
  temperature: number;
  /** What reads it, by name. */
  probes: Readonly<Record<string, Probe>>;
  /** How many tokens a read waits for; in any case it is read at its end. */
  readEvery: number;
  /** Told of each token, and whether none can follow. Returns whether it ends the completion all the same. */
  onToken(token: number, last: boolean): boolean;
}

/** Some tokens of a completion, one after the other. */
export interface Stretch {
  tokens: number[];
  logprobs: number[];
  /** Each probe's logit at each of the tokens. */
  logits: Record<string, number[]>;
  /** With the last ones: why, and each probe's logit of the whole. */
  end?: { reason: "stop" | "length"; logits: Record<string, number> };
}

/** An order that is waiting or under way. */
interface Writing {
  order: Order;
  out: ReadableStreamDefaultController<Stretch>;
  /** All tokens, and how many of them were handed out. */
  tokens: number[];
  logprobs: number[];
  given: number;
  reason?: "stop" | "length";
}

/** Completions of one temperature, which are sampled together, by their numbers. */
interface Lane {
  decoder: Decoder;
  under: Map<number, Writing>;
}

/** Orders that may wait: whoever comes later is told to come again. */
const MOST_WAITING = 1024;

/** There are too many orders already. */
export class BusyError extends Error {}

/** Takes orders for one model. What a completion is does not depend on those beside it. */
export class Desk {
  readonly #model: Model;
  readonly #tokenizer: Tokenizer;
  readonly #slots: number;
  readonly #waiting: Writing[] = [];
  /** Those under way, by their temperature. */
  readonly #lanes = new Map<number, Lane>();
  #working: Promise<void> | undefined;

  /** @param slots completions under way at a time, where the model's memory allows it */
  constructor(model: Model, tokenizer: Tokenizer, slots: number) {
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#slots = slots;
  }

  /**
   * Writes a completion.
   *
   * @param signal once it is aborted, the order is forgotten: its slot is free at the next token
   * @throws BusyError
   */
  write(order: Order, signal: AbortSignal): ReadableStream<Stretch> {
    if (this.#waiting.length >= MOST_WAITING)
      throw new BusyError(`${MOST_WAITING} completions are waiting already; ask again later`);
    return new ReadableStream<Stretch>({
      start: (out) => {
        const writing = { order, out, tokens: [], logprobs: [], given: 0 };
        signal.addEventListener("abort", () => {
          if (this.#leave(writing)) out.error(signal.reason);
        });
        this.#waiting.push(writing);
        this.#working ??= this.#work();
      },
    });
  }

  /** Returns when nothing is waiting or under way. */
  async idle(): Promise<void> {
    await this.#working;
  }

  /** Returns whether it was there. */
  #leave(writing: Writing): boolean {
    const at = this.#waiting.indexOf(writing);
    if (at >= 0) this.#waiting.splice(at, 1);
    const lane = this.#lanes.get(writing.order.temperature);
    const under = lane && [...lane.under].find(([, other]) => other === writing);
    if (under) {
      lane.decoder.drop(under[0]);
      lane.under.delete(under[0]);
    }
    return at >= 0 || under !== undefined;
  }

  /** Goes on until nothing is left to do. */
  async #work(): Promise<void> {
    // Whoever asks at the same time is read together.
    await setImmediate();
    while (this.#waiting.length + this.#lanes.size > 0) {
      await this.#admit();
      for (const [temperature, lane] of this.#lanes) {
        try {
          for (const drawn of await lane.decoder.step()) this.#take(lane, drawn);
          await this.#handOut(lane);
        } catch (error) {
          for (const { out } of lane.under.values()) out.error(error);
          lane.under.clear();
        }
        if (lane.under.size === 0) {
          lane.decoder.close();
          this.#lanes.delete(temperature);
        }
        // Requests come in, and go, between two tokens.
        await setImmediate();
      }
    }
    this.#working = undefined;
  }

  /** Begins orders while there is room, the first that came first. */
  async #admit(): Promise<void> {
    const lengthOf = ({ order }: Writing) => order.prompt.length + order.maxTokens;
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const { temperature } = next.order;
      try {
        const lane = this.#lanes.get(temperature) ?? {
          ...{ decoder: await this.#model.decoder(temperature), under: new Map() },
        };
        // It may have left meanwhile.
        if (this.#waiting[0] !== next) continue;
        const under = [...this.#lanes.values()].flatMap((one) => [...one.under.values()]);
        const room = lane.decoder.room(Math.max(...[next, ...under].map(lengthOf)));
        if (under.length > 0 && under.length >= Math.min(this.#slots, room)) return;
        this.#waiting.shift();
        lane.under.set(lane.decoder.begin(next.order), next);
        this.#lanes.set(temperature, lane);
      } catch (error) {
        if (this.#waiting[0] === next) this.#waiting.shift();
        next.out.error(error);
      }
    }
  }

  #take({ decoder, under }: Lane, { completion, token, logprob, stopReason }: DecodedToken): void {
    const writing = under.get(completion);
    // It has left while the token was drawn, or ended with one before.
    if (!writing || writing.reason) return;
    writing.tokens.push(token);
    writing.logprobs.push(logprob);
    const ends = writing.order.onToken(token, stopReason !== undefined);
    const reason = stopReason ?? (ends ? "stop" : undefined);
    if (reason === undefined) return;
    writing.reason = reason;
    decoder.drop(completion);
  }

  /** Hands out what is new; where probes read it, they have read it by then. */
  async #handOut({ under }: Lane): Promise<void> {
    const due = [...under].filter(([, { tokens, given, reason, order }]) => {
      const every = Object.keys(order.probes).length > 0 ? order.readEvery : 1;
      return reason !== undefined || tokens.length - given >= every;
    });
    const reads = await this.#read(due.map(([, writing]) => writing));
    for (const [completion, writing] of due) {
      // It may have left meanwhile.
      if (!under.has(completion)) continue;
      const { tokens, logprobs, given, reason, out } = writing;
      const read = Object.entries(reads.get(writing) ?? {});
      out.enqueue({
        tokens: tokens.slice(given),
        logprobs: logprobs.slice(given),
        logits: Object.fromEntries(read.map(([name, { tokens: all }]) => [name, [...all.slice(given)]])),
        ...(reason && {
          end: { reason, logits: Object.fromEntries(read.map(([name, { logit }]) => [name, logit])) },
        }),
      });
      writing.given = tokens.length;
      if (reason === undefined) continue;
      out.close();
      under.delete(completion);
    }
  }

  /** What probes say of what is written so far: the engine's own reads of the same tokens, so that they agree with all others. */
  async #read(writings: readonly Writing[]): Promise<Map<Writing, Record<string, Read>>> {
    const read = new Map<Writing, Record<string, Read>>();
    const asked = new Map(writings.flatMap(({ order }) => Object.entries(order.probes)));
    for (const [name, probe] of asked) {
      const own = writings.filter(({ order }) => order.probes[name] !== undefined);
      const sequences = own.map(({ order: { prompt }, tokens }) => ({
        ...{ tokens: [...prompt, ...tokens], promptLength: prompt.length },
      }));
      const how = readsOf({ taps: [{ ...probe.tap, model: "policy", probe }] }, this.#tokenizer);
      const readings = readingsOf(how.reads, await this.#model.forward(sequences, how));
      own.forEach((writing, i) => {
        const policy = readings[i]!;
        const said = readProbe({ readings: { policy, reference: policy } }, probe, "policy");
        read.set(writing, { ...read.get(writing), [name]: said });
      });
    }
    return read;
  }
}

type Read = ReturnType<typeof readProbe>;

/** @file Calls to a worker, in order: those without an answer are only written, those with one are waited for. */

import type { Socket } from "node:net";
import { LostError } from "../../errors.ts";
import type { StorableTensor } from "../safetensors.ts";
import { sizeOf } from "../types.ts";
import { type Message, MessageReader, messagePieces } from "./message.ts";

/** Data of no more numbers is copied: what it was in may change at once. */
const COPIED = 2 ** 14;

/** Calls wait for more of them, and go as one message: at the latest once so many do, or so many numbers. */
const TOGETHER = { calls: 32, numbers: 2 ** 12 };

interface Waiting {
  name: string;
  resolve(message: Message): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

/** A call by its name, with its parameters. */
export interface Call {
  call: string;
  [parameter: string]: unknown;
}

/** Tensors of a call, by name. */
export type Tensors = Record<string, StorableTensor>;

/** What crossed, in bytes, calls, and messages in which calls went; `answered` of the calls were waited for. */
export interface Traffic {
  sent: number;
  received: number;
  calls: number;
  answered: number;
  messages: number;
}

/** One end of the socket. Answers come in the order of their calls. */
export class Connection {
  readonly traffic: Traffic = { sent: 0, received: 0, calls: 0, answered: 0, messages: 0 };
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  readonly #patience: number;
  readonly #onFailure: (error: Error) => void;
  readonly #explain: (error: Error) => Promise<Error>;
  #ended: Error | undefined;
  /** Calls that are not sent yet, and how many numbers go with them. */
  #unsent: [Call, Tensors][] = [];
  #numbers = 0;
  /** What keeps this process alive: answers and writes that are waited for. */
  #held = 0;

  /**
   * @param patience milliseconds that an answer may take
   * @param onFailure is told of what cannot go on: no answer in time, or an answer that is none
   * @param explain makes of an error that is answered the one that is thrown
   */
  constructor(
    socket: Socket,
    patience: number,
    onFailure: (error: Error) => void,
    explain: (error: Error) => Promise<Error> = async (error) => error,
  ) {
    this.#socket = socket;
    this.#patience = patience;
    this.#onFailure = onFailure;
    this.#explain = explain;
    const reader = new MessageReader((message) => this.#onMessage(message));
    socket.on("data", (chunk) => {
      this.traffic.received += chunk.length;
      try {
        reader.push(chunk);
      } catch (error) {
        onFailure(error as Error);
      }
    });
    socket.unref();
  }

  /** Makes a call that is not answered. Resolves once its tensors may change and no more than a little waits to be sent. */
  async send(call: Call, tensors: Tensors = {}): Promise<void> {
    this.#check();
    await this.#write(call, tensors);
  }

  /** Makes a call and waits for its answer. @throws Error that the worker answers, or that there is none in time */
  async ask(call: Call, tensors: Tensors = {}, patience = this.#patience): Promise<Message> {
    this.#check();
    this.traffic.answered++;
    const answer = new Promise<Message>((resolve, reject) => {
      const timer = setTimeout(() => this.#onFailure(unanswered(call.call, patience)), patience);
      this.#waiting.push({ name: call.call, resolve, reject, timer });
    });
    return this.#holding(async () => {
      // A write that fails is told of by the end of the worker, which rejects the answer.
      this.#write(call, tensors).catch(() => {});
      return answer;
    });
  }

  /** Nothing is answered any more; all calls, also later ones, fail by this. */
  end(error: Error): void {
    this.#ended ??= error;
    for (const { reject, timer } of this.#waiting.splice(0)) {
      clearTimeout(timer);
      reject(this.#ended);
    }
    this.#socket.destroy();
  }

  #check(): void {
    if (this.#ended) throw this.#ended;
  }

  async #write(call: Call, tensors: Tensors): Promise<void> {
    this.traffic.calls++;
    const numbers = Object.values(tensors).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    // Once all that can be said now is said, it goes.
    if (this.#unsent.length === 0) process.nextTick(() => this.#sendAll().catch(() => {}));
    this.#unsent.push([call, numbers > COPIED ? tensors : copied(tensors)]);
    this.#numbers += numbers;
    if (this.#numbers > TOGETHER.numbers || this.#unsent.length >= TOGETHER.calls) await this.#sendAll();
  }

  /** Sends what waits, as one message. Resolves as `send` does. */
  async #sendAll(): Promise<void> {
    if (this.#unsent.length === 0 || this.#ended) return;
    const [calls, numbers] = [this.#unsent, this.#numbers];
    this.#unsent = [];
    this.#numbers = 0;
    this.traffic.messages++;
    this.#socket.cork();
    for (const piece of piecesOf(calls)) {
      this.traffic.sent += piece.length;
      this.#socket.write(piece);
    }
    this.#socket.uncork();
    if (numbers > COPIED || this.#socket.writableLength > 2 ** 24) await this.#flushed();
  }

  /** Resolves once all that was written has left this process. */
  #flushed(): Promise<void> {
    return this.#holding(
      () =>
        new Promise((resolve, reject) => {
          this.#socket.write(new Uint8Array(), (error) => (error ? reject(this.#ended ?? error) : resolve()));
        }),
    );
  }

  async #holding<T>(work: () => Promise<T>): Promise<T> {
    if (this.#held++ === 0) this.#socket.ref();
    try {
      return await work();
    } finally {
      if (--this.#held === 0) this.#socket.unref();
    }
  }

  #onMessage(message: Message): void {
    const { fatal, error } = message.call;
    const waiting = fatal === undefined ? this.#waiting.shift() : undefined;
    if (!waiting) {
      this.#onFailure(new Error(`xla: the worker got ${fatal ?? "no question, and answers"}`));
      return;
    }
    clearTimeout(waiting.timer);
    if (error === undefined || "problem" in message.call) waiting.resolve(message);
    else this.#explain(new Error(`xla: ${explained(String(error))}`)).then(waiting.reject);
  }
}

function copied(tensors: Tensors): Tensors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]),
  );
}

/** Several calls are numbered, and so are their tensors. */
function piecesOf(calls: readonly (readonly [Call, Tensors])[]): Iterable<Uint8Array> {
  if (calls.length === 1) return messagePieces(...calls[0]!);
  const tensors = calls.flatMap(([, own], i) =>
    Object.entries(own).map(([name, tensor]) => [`${i}.${name}`, tensor] as const),
  );
  return messagePieces({ calls: calls.map(([call]) => call) }, Object.fromEntries(tensors));
}

function unanswered(name: string, patience: number): Error {
  const seconds = Math.round(patience / 1000);
  return new LostError(
    `xla: the worker has not answered a call (${name}) for ${seconds} s, and was ended. Where its work takes that long, give it more (engine.patience); else run the same command again: it goes on where it was`,
  );
}

/** With what to do, where that is known. */
function explained(error: string): string {
  if (!/RESOURCE_EXHAUSTED|out of memory/i.test(error)) return error;
  return `${error}\nThe devices' memory is full: give a smaller training.memoryMB, more devices, or an adapter in place of all weights; then run the same command again: it goes on where it was`;
}

/** @file Messages between this process and a worker: safetensors documents whose metadata holds a call or an answer. */

import { parseHeader, read, readHeader, type StorableTensor, safetensorsPieces } from "../safetensors.ts";
import type { Tensor } from "../types.ts";

/** A call or an answer, and the tensors that go with it. */
export interface Message {
  call: Record<string, unknown>;
  tensors: Record<string, Tensor>;
}

/** The form of messages and calls; both sides refuse to go on where it differs. */
export const PROTOCOL = 3;

/** The bytes of a message, piece by piece: the header, then every tensor's where they lie. */
export function messagePieces(call: object, tensors: Record<string, StorableTensor>): Iterable<Uint8Array> {
  return safetensorsPieces(tensors, { call: JSON.stringify(call) });
}

/** Longest header that is read, in bytes. */
const MAX_HEADER = 100_000_000;

/** Puts messages together from the chunks in which a socket brings them. */
export class MessageReader {
  readonly #onMessage: (message: Message) => void;
  readonly #source: string;
  readonly #most: number;
  /** What is being filled, and how far it is. */
  #target = new Uint8Array(8);
  #filled = 0;
  #then: (bytes: Uint8Array) => void;

  /** @param most bytes of a header, and of the tensors behind it, that are read @param source whose messages they are, in words */
  constructor(
    onMessage: (message: Message) => void,
    { most = Number.POSITIVE_INFINITY, source = "the worker's answer" } = {},
  ) {
    this.#onMessage = onMessage;
    this.#most = most;
    this.#source = source;
    this.#then = this.#onLength;
  }

  /** @throws Error where it is no message */
  push(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + this.#target.length - this.#filled);
      this.#target.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      while (this.#filled === this.#target.length) this.#then(this.#target);
    }
  }

  #expect(length: number, then: (bytes: Uint8Array) => void): void {
    this.#target = new Uint8Array(length);
    this.#filled = 0;
    this.#then = then;
  }

  #onLength(bytes: Uint8Array): void {
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    if (length === 0 || length > Math.min(MAX_HEADER, this.#most))
      throw new Error(`${this.#source} has a header of ${length} bytes`);
    this.#expect(length, this.#onHeader);
  }

  #onHeader(bytes: Uint8Array): void {
    const table = parseHeader(bytes, this.#source);
    const ends = Object.entries(table).map(([name, entry]) =>
      name === "__metadata__" ? 0 : (entry as { data_offsets: [number, number] }).data_offsets[1],
    );
    const size = Math.max(0, ...ends);
    const { entries, metadata } = readHeader(table, size, this.#source);
    if (size > this.#most) throw new Error(`${this.#source} has ${size} bytes of tensors`);
    this.#expect(size, ({ buffer }) => {
      const tensors = entries.map(({ name, dtype, shape, begin, end }) => {
        // What is alone need not be copied.
        const data = entries.length === 1 ? buffer : buffer.slice(begin, end);
        return [name, read(dtype, shape, data as ArrayBuffer)];
      });
      this.#expect(8, this.#onLength);
      this.#onMessage({ call: JSON.parse(metadata.call!), tensors: Object.fromEntries(tensors) });
    });
  }
}

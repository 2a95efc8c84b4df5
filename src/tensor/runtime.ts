/** @file The seam under the engine: what runs programs, and where tensors lie while it does. */

import type { Program } from "./program.ts";
import type { DType, Tensor, TensorSpec } from "./types.ts";

/** A tensor that lies where a runtime computes. It is valid until it is freed, and nothing but `copy` writes to it. */
export abstract class Handle implements TensorSpec {
  readonly shape: readonly number[];
  readonly dtype: DType;

  constructor({ shape, dtype }: TensorSpec) {
    this.shape = shape;
    this.dtype = dtype;
  }
}

/** What computes. */
export interface RuntimeInfo {
  name: "onnxruntime" | "xla";
  /** Versions by package. */
  versions: Readonly<Record<string, string>>;
  /** Threads, or devices, that a program is computed with. */
  threads: number;
}

/**
 * Runs programs on tensors that stay where it computes: in this process, or on the devices of others.
 *
 * Calls take effect in the order in which they are made. `runtimeContract` says what is promised.
 */
export interface Runtime {
  readonly info: RuntimeInfo;
  /**
   * @param donated Inputs, by index, that a run frees: their memory may serve its results.
   * @throws Error naming a primitive that the runtime does not know
   */
  compile(program: Program, donated?: readonly number[]): Promise<Executable>;
  /** Hands a tensor over, which must not be changed afterwards: a runtime of this process need not copy it. */
  put(tensor: Tensor): Promise<Handle>;
  /** A tensor of zeros. */
  zeros(spec: TensorSpec): Promise<Handle>;
  /** The tensor's numbers; valid until the handle is freed, and not to be written to. @throws Error where it was freed */
  get(handle: Handle): Promise<Tensor>;
  /** Forgets a tensor. Freeing it again does nothing. */
  free(handle: Handle): void;
  /**
   * Copies positions of rows between float32 tensors [rows, H, positions, D], in place: caches of keys and values, which a
   * program could only write anew. Every move is made in every pair; moves of one call do not overlap.
   */
  copy(pairs: readonly CopyPair[], moves: readonly RowMove[]): Promise<void>;
  /**
   * Draws a token from softmax(logits / temperature) for each of some rows of logits [N, V]; at 0 the likeliest one, with
   * log-probability 0. `drawToken` is the definition: a draw depends on its row, its key and its position only.
   */
  draw(logits: Handle, draws: readonly Draw[], temperature: number): Promise<Drawn[]>;
  /** Frees everything. Nothing can be run afterwards. */
  close(): Promise<void>;
}

/** A program that a runtime has compiled. */
export interface Executable {
  /** The program as the runtime runs it, for people. */
  readonly text: string;
  /** @param inputs of the program's shapes and element types, in its order @returns its outputs, which the caller frees */
  run(inputs: readonly Handle[]): Promise<Handle[]>;
  /** Forgets the program. What it made stays. */
  close(): Promise<void>;
}

/** From one tensor to another. */
export interface CopyPair {
  source: Handle;
  target: Handle;
}

/** `count` positions of a row of the source, beginning at `fromAt`, become those of a row of the target from `toAt` on. */
export interface RowMove {
  from: number;
  fromAt: number;
  to: number;
  toAt: number;
  count: number;
}

/** One token to be drawn. */
export interface Draw {
  /** Which row of the logits. */
  row: number;
  /** Two 32-bit words that are the row's own, whatever is drawn beside it. */
  key: readonly [number, number];
  /** Counts the row's draws. */
  position: number;
}

/** A drawn token with its log-probability at the temperature. */
export interface Drawn {
  token: number;
  logprob: number;
}

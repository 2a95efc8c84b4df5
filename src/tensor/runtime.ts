/** @file The seam under the engine: what runs programs, and where tensors lie while it does. */

import type { Program } from "./program.ts";
import type { DType, Tensor, TensorSpec } from "./types.ts";

/** What a tensor is for, where that outlives the programs that make and read it. */
export type TensorUse = "weights" | "moments" | "gradients" | "caches";

/** A tensor that lies where a runtime computes. It is valid until it is freed, and nothing but `copy` writes to it. */
export abstract class Handle implements TensorSpec {
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** Set by whoever knows: memory is counted by it. It changes nothing else. */
  use: TensorUse | undefined;

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
  /** What those are. */
  platform: "cpu" | "gpu" | "tpu";
  /** What the first of them is called, where it has a name. */
  device?: string;
  /** All devices, where tensors are divided among several or their memory is known. */
  devices?: DevicesInfo;
  /** What operands of products of matrices are rounded to, where they are. */
  operands?: "bfloat16";
  /** So many tokens are best decoded in one call. */
  tokensPerCall: number;
}

/** What tensors lie on. */
export interface DevicesInfo {
  count: number;
  /** Weights are there so many times: each of so many groups of devices has all of them. */
  copies: number;
  /** Bytes that all devices together have for tensors, where that is known. */
  memory?: number;
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
  put(tensor: Tensor, options?: PutOptions): Promise<Handle>;
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
  /**
   * Draws `count` tokens for each row, one after the other: a decoding program gives the logits [B, V] after a token, and the
   * token's keys and values, which are written to the caches.
   *
   * @param program takes the weights, tokens and positions (int32 [B, 1]), the caches, and a mask [B, C], which is 0 where the cache
   *   holds a token and -1e9 elsewhere; gives logits, and a [B, H, 1, D] for each cache
   * @returns what was drawn for each row; where all rows have drawn one of `ends`, what comes later may be missing
   */
  decode(program: Executable, decoding: Decoding, count: number): Promise<Drawn[][]>;
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

/** How a tensor is kept. */
export interface PutOptions {
  /** It is read by products of matrices, or is a table that is looked up: the precision of their operands does for it. */
  asOperand?: boolean;
}

/** What tokens are decoded from. */
export interface Decoding {
  weights: readonly Handle[];
  /** Keys and values [B, H, C, D], in the program's order. They are written to in place. */
  caches: readonly Handle[];
  rows: readonly DecodeRow[];
  temperature: number;
  /** Tokens after which a row needs no more. */
  ends: readonly number[];
}

/** A row that is decoded, in a slot of the batch. */
export interface DecodeRow {
  slot: number;
  /** Its newest token, and where that is; the caches hold what came before. */
  token: number;
  position: number;
  /** Addresses its draws; so many were made before. */
  key: Draw["key"];
  drawn: number;
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

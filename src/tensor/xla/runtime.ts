/** @file XLA as a runtime: tensors are numbers that a worker knows arrays by, and most calls are told without waiting. */

import { calledBy, type Program } from "../program.ts";
import {
  type CopyPair,
  type Decoding,
  type Draw,
  type Drawn,
  type Executable,
  Handle,
  type PutOptions,
  type RowMove,
  type Runtime,
  type RuntimeInfo,
} from "../runtime.ts";
import type { Tensor, TensorSpec } from "../types.ts";
import type { Connection, Traffic } from "./connection.ts";
import { describe, programText } from "./program.ts";

/** An array on the worker's devices. */
class XlaHandle extends Handle {
  readonly owner: XlaRuntime;
  readonly #id: number;
  #freed = false;

  constructor(owner: XlaRuntime, id: number, spec: TensorSpec) {
    super(spec);
    this.owner = owner;
    this.#id = id;
  }

  /** @throws Error where it was freed */
  get id(): number {
    if (this.#freed)
      throw new Error(`tensor: a ${this.dtype}[${this.shape}] was used after it had been freed`);
    return this.#id;
  }

  /** The number, the first time; afterwards it is no more. */
  take(): number | undefined {
    if (this.#freed) return undefined;
    this.#freed = true;
    return this.#id;
  }
}

/** What there is to see of a program, once it is sent. */
function withoutData(program: Program, known = new Map<Program, Program>()): Program {
  const outline = known.get(program) ?? {
    ...program,
    constants: program.constants.map((one) => ({ ...one, data: one.data.slice(0, 0) })),
    equations: program.equations.map((equation) => {
      const called = calledBy(equation);
      return called ? { ...equation, params: { program: withoutData(called, known) } } : equation;
    }),
  };
  known.set(program, outline);
  return outline;
}

/** Runs programs in a worker. `startXla` makes it. */
export class XlaRuntime implements Runtime {
  readonly info: RuntimeInfo;
  readonly #connection: Connection;
  readonly #stop: () => Promise<void>;
  #count = 0;
  /** Numbers of arrays that are to be freed before the next call. */
  #freed: number[] = [];

  constructor(info: RuntimeInfo, connection: Connection, stop: () => Promise<void>) {
    this.info = info;
    this.#connection = connection;
    this.#stop = stop;
  }

  /** What crossed the socket so far. */
  get traffic(): Readonly<Traffic> {
    return { ...this.#connection.traffic };
  }

  /** Bytes on the first device: of the tensors that are kept, and the most that a program takes while it runs (known in float32). */
  async memory(): Promise<{ kept: number; temporaries: number }> {
    this.#flush();
    const { call } = await this.#connection.ask({ call: "memory" });
    return { kept: call.kept as number, temporaries: call.temporaries as number };
  }

  async compile(program: Program, donated: readonly number[] = []): Promise<Executable & { id: number }> {
    const id = this.#count++;
    const outputs = program.outputs.map(
      (output): TensorSpec => ({
        shape: "id" in output ? output.shape : [],
        dtype: output.dtype,
      }),
    );
    const described = describe(program);
    this.#flush();
    await this.#connection.ask(
      { call: "compile", id, donated, outputs, program: described.program },
      described.tensors,
    );
    const outline = withoutData(program);
    return {
      id,
      get text() {
        return programText(outline);
      },
      run: async (inputs) => {
        const ids = inputs.map((handle) => this.#own(handle).id);
        const results = outputs.map((spec) => new XlaHandle(this, this.#count++, spec));
        this.#flush();
        // The worker frees them itself.
        for (const index of donated) this.#own(inputs[index]!).take();
        await this.#connection.send({ call: "run", id, inputs: ids, outputs: results.map((one) => one.id) });
        return results;
      },
      close: async () => this.#connection.send({ call: "forget", id }),
    };
  }

  async put(tensor: Tensor, { asOperand = false }: PutOptions = {}): Promise<Handle> {
    const handle = new XlaHandle(this, this.#count++, tensor);
    this.#flush();
    await this.#connection.send({ call: "put", id: handle.id, asOperand }, { tensor });
    return handle;
  }

  async zeros({ shape, dtype }: TensorSpec): Promise<Handle> {
    const handle = new XlaHandle(this, this.#count++, { shape, dtype });
    this.#flush();
    await this.#connection.send({ call: "zeros", id: handle.id, shape, dtype });
    return handle;
  }

  async get(handle: Handle): Promise<Tensor> {
    const { id } = this.#own(handle);
    this.#flush();
    const { tensors } = await this.#connection.ask({ call: "get", id });
    return { shape: handle.shape, dtype: handle.dtype, data: tensors.tensor!.data };
  }

  free(handle: Handle): void {
    const id = this.#own(handle).take();
    if (id === undefined) return;
    // What is freed at once is told at once.
    if (this.#freed.length === 0) queueMicrotask(() => this.#flush());
    this.#freed.push(id);
  }

  async copy(pairs: readonly CopyPair[], moves: readonly RowMove[]): Promise<void> {
    if (pairs.length === 0 || moves.length === 0) return;
    const ids = pairs.map(({ source, target }) => [this.#own(source).id, this.#own(target).id]);
    const rows = moves.flatMap(({ from, fromAt, to, toAt, count }) => [from, fromAt, to, toAt, count]);
    this.#flush();
    const data = { shape: [moves.length, 5], data: Int32Array.from(rows) };
    await this.#connection.send({ call: "copy", pairs: ids }, { moves: data });
  }

  async draw(logits: Handle, draws: readonly Draw[], temperature: number): Promise<Drawn[]> {
    const rows = draws.flatMap(({ row, key: [a, b], position }) => [row, a, b, position]);
    const call = { call: "draw", logits: this.#own(logits).id, temperature };
    this.#flush();
    const { tensors } = await this.#connection.ask(call, {
      draws: { shape: [draws.length, 4], data: Int32Array.from(rows) },
    });
    return draws.map((_, i) => ({ token: tensors.token!.data[i]!, logprob: tensors.logprob!.data[i]! }));
  }

  async decode(program: Executable, decoding: Decoding, count: number): Promise<Drawn[][]> {
    const { weights, caches, rows, temperature, ends } = decoding;
    const call = {
      ...{ call: "decode", id: (program as { id?: number }).id, count, temperature, ends },
      weights: weights.map((handle) => this.#own(handle).id),
      caches: caches.map((handle) => this.#own(handle).id),
    };
    const numbers = rows.flatMap(({ slot, token, position, key: [a, b], drawn }) => [
      slot,
      token,
      position,
      a,
      b,
      drawn,
    ]);
    this.#flush();
    const { tensors } = await this.#connection.ask(call, {
      rows: { shape: [rows.length, 6], data: Int32Array.from(numbers) },
    });
    const { token, logprob } = tensors;
    const made = token!.shape[1]!;
    return rows.map((_, r) =>
      Array.from({ length: made }, (_, i) => ({
        token: token!.data[r * made + i]!,
        logprob: logprob!.data[r * made + i]!,
      })),
    );
  }

  async close(): Promise<void> {
    await this.#stop();
  }

  #own(handle: Handle): XlaHandle {
    if (handle instanceof XlaHandle && handle.owner === this) return handle;
    throw new Error("tensor: a handle of another runtime");
  }

  /** Tells what was freed, before what comes after it. */
  #flush(): void {
    if (this.#freed.length === 0) return;
    const ids = this.#freed;
    this.#freed = [];
    // Where the worker is gone, so are its arrays.
    this.#connection.send({ call: "free", ids }).catch(() => {});
  }
}

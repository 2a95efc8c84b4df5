/**
 * @file A runtime that computes nothing: tensors are shapes, programs are compiled ahead of time for devices that are not there,
 * and what running them would take is added up.
 */

import { createHash } from "node:crypto";
import { drawWords } from "../draw.ts";
import type { Program } from "../program.ts";
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
  type TensorUse,
} from "../runtime.ts";
import { newData, sizeOf, type Tensor, type TensorSpec } from "../types.ts";
import type { Connection } from "./connection.ts";
import type { XlaOptions } from "./options.ts";
import { describe, programText } from "./program.ts";
import { devicesOf, greetWorker, TOKENS_PER_CALL } from "./start.ts";

/** What one run of a program takes of one device, in bytes and operations, by XLA's own count. */
export interface ProgramCost {
  operations: number;
  /** Bytes that are read from and written to the device's memory. */
  moved: number;
  /** Bytes that it sends to other devices. */
  exchanged: number;
  /** Those of them that go to devices of another group: each group holds all weights. */
  outside: number;
  inputs: number;
  outputs: number;
  /** Bytes of the outputs that lie where inputs were. */
  shared: number;
  /** Bytes that are needed only while it runs. */
  temporaries: number;
}

/** Programs that were run, each with how often. */
export type Ledger = Map<ProgramCost, number>;

/** The most memory of a device that was taken at once, in bytes: what was kept, by what it is for, and what the program needed. */
export interface MemoryPeak {
  total: number;
  /** What is for nothing in particular is activations. */
  kept: Record<TensorUse | "activations", number>;
  /** The results of the program that was running, as far as they lie apart from its inputs. */
  results: number;
  temporaries: number;
}

/** Layers of the deeper one of two models that all others are extrapolated from. Of one of one layer, memory serves the rest, too. */
const SHALLOW = 3;

const BYTES = { float32: 4, int32: 4, bool: 1 };

/** A tensor that is not there. */
class DryHandle extends Handle {
  readonly owner: DryRuntime;
  /** Of each device's memory. */
  readonly bytes: number;
  /** Is it kept in bfloat16? */
  readonly rounded: boolean;
  freed = false;

  constructor(owner: DryRuntime, spec: TensorSpec, bytes: number, rounded: boolean) {
    super(spec);
    this.owner = owner;
    this.bytes = bytes;
    this.rounded = rounded;
  }
}

/** A program, measured when it is first run: what of its inputs is rounded is known then. */
interface DryExecutable extends Executable {
  measure(inputs: readonly Handle[], caches?: number): Promise<ProgramCost>;
  vocabulary: number;
}

/** Adds up what programs would take. `startDry` makes it. */
export class DryRuntime implements Runtime {
  readonly info: RuntimeInfo;
  readonly #dtype: string;
  readonly #ends: readonly number[];
  readonly #connection: Connection;
  readonly #stop: () => Promise<void>;
  readonly #sizes = new Map<string, Promise<number>>();
  readonly #measured = new Map<string, Promise<ProgramCost>>();
  readonly #alive = new Set<DryHandle>();
  /** What decoding a token takes, by layers, rows and positions: of shallow models, and what follows from them. */
  readonly #decoded = new Map<string, ProgramCost>();
  readonly #extrapolations = new Map<string, ProgramCost>();
  #counts = true;
  #bytes = 0;
  #ledger: Ledger = new Map();
  #peak = noPeak();

  /**
   * Decodes with a model of fewer layers, in a batch of so many rows and positions. Where it is given, programs of many layers are
   * not compiled: what they take is extrapolated.
   */
  decodeShallow: ((layers: number, B: number, C: number) => Promise<void>) | undefined;

  constructor(
    info: RuntimeInfo,
    { dtype, ends }: { dtype: string; ends: readonly number[] },
    connection: Connection,
    stop: () => Promise<void>,
  ) {
    this.info = info;
    this.#dtype = dtype;
    this.#ends = ends;
    this.#connection = connection;
    this.#stop = stop;
  }

  /** So many different programs were compiled. */
  get programs(): number {
    return this.#measured.size;
  }

  /** Bytes of each device that are kept. */
  get kept(): number {
    return this.#bytes;
  }

  /** What was run and taken since it was asked for the last time. */
  account(): { ledger: Ledger; peak: MemoryPeak } {
    const account = { ledger: this.#ledger, peak: this.#peak };
    this.#ledger = new Map();
    this.#peak = noPeak();
    return account;
  }

  async compile(program: Program, donated: readonly number[] = []): Promise<DryExecutable> {
    const outputs = program.outputs.map(
      (output): TensorSpec => ({ shape: "id" in output ? output.shape : [], dtype: output.dtype }),
    );
    const own = new Map<string, Promise<ProgramCost>>();
    const measure: DryExecutable["measure"] = (inputs, caches) => {
      const rounded = inputs.map((handle) => this.#own(handle).rounded);
      return once(own, `${rounded.map(Number).join("")} ${caches}`, () => {
        const described = describe(program);
        const call = { call: "measure", donated, outputs, program: described.program, rounded, caches };
        // Programs of other stores, or of shallower models, may be the same.
        return once(this.#measured, hashOf(call), async () => {
          const { call: told } = await this.#connection.ask(call, described.tensors);
          return told as unknown as ProgramCost;
        });
      });
    };
    return {
      measure,
      vocabulary: outputs[0]?.shape[1] ?? 1,
      get text() {
        return programText(program);
      },
      run: async (inputs) => {
        const measured = await measure(inputs);
        this.#count(measured);
        for (const index of donated) this.free(inputs[index]!);
        return Promise.all(outputs.map((spec) => this.#make(spec)));
      },
      close: async () => {},
    };
  }

  async put({ shape, dtype }: Tensor, { asOperand = false }: PutOptions = {}): Promise<Handle> {
    return this.#make({ shape, dtype }, asOperand && dtype === "float32" && this.#dtype === "bfloat16");
  }

  async zeros(spec: TensorSpec): Promise<Handle> {
    return this.#make(spec);
  }

  /** Zeros: there are no other numbers. */
  async get(handle: Handle): Promise<Tensor> {
    const { shape, dtype } = this.#own(handle);
    return { shape, dtype, data: newData(dtype, sizeOf(shape)) };
  }

  free(handle: Handle): void {
    const own = handle as DryHandle;
    if (own.freed) return;
    own.freed = true;
    this.#alive.delete(own);
    this.#bytes -= own.bytes;
  }

  async copy(pairs: readonly CopyPair[], moves: readonly RowMove[]): Promise<void> {
    if (moves.length === 0) return;
    const bytes = pairs.reduce((sum, { target }) => sum + this.#own(target).bytes, 0);
    this.#count({ ...nothing, moved: 2 * bytes });
  }

  async draw(logits: Handle, draws: readonly Draw[]): Promise<Drawn[]> {
    this.#count({ ...nothing, moved: this.#own(logits).bytes });
    return draws.map((draw) => this.#drawn(draw, logits.shape[1]!));
  }

  /** Tokens at random. */
  async decode(program: Executable, { weights, caches, rows }: Decoding, count: number): Promise<Drawn[][]> {
    const { measure, vocabulary } = program as DryExecutable;
    const [B, , C] = caches[0]!.shape as [number, number, number];
    const fed: Handle[] = [];
    for (const spec of [ofInts([B, 1]), ofInts([B, 1]), { shape: [B, C], dtype: "float32" as const }])
      fed.push(await this.#make(spec));
    const [token, position, mask] = fed as [Handle, Handle, Handle];
    const layers = caches.length / 2;
    const measured =
      layers > SHALLOW && this.decodeShallow
        ? await this.#extrapolated(layers, B, C)
        : await measure([...weights, token, position, ...caches, mask], caches.length);
    if (layers <= SHALLOW) this.#decoded.set(`${[layers, B, C]}`, measured);
    for (const handle of fed) this.free(handle);
    this.#count(measured, count);
    return rows.map(({ key, drawn: before }) =>
      Array.from({ length: count }, (_, i) => this.#drawn({ key, position: before + i }, vocabulary)),
    );
  }

  async close(): Promise<void> {
    await this.#stop();
  }

  /** The token that a draw's own words name, or the next one that is no end. */
  #drawn(draw: Pick<Draw, "key" | "position">, vocabulary: number): Drawn {
    let token = (drawWords(draw)[0] >>> 0) % vocabulary;
    while (this.#ends.includes(token)) token = (token + 1) % vocabulary;
    return { token, logprob: 0 };
  }

  /** A token's cost in a deep model, from shallow ones: each layer adds the same. */
  async #extrapolated(layers: number, B: number, C: number): Promise<ProgramCost> {
    const known = this.#extrapolations.get(`${[layers, B, C]}`);
    if (known) return known;
    this.#counts = false;
    try {
      for (const few of [SHALLOW - 1, SHALLOW]) await this.decodeShallow!(few, B, C);
    } finally {
      this.#counts = true;
    }
    const [less, more] = [SHALLOW - 1, SHALLOW].map((few) => this.#decoded.get(`${[few, B, C]}`));
    if (!less || !more)
      throw new Error(`plan: ${B} rows of ${C} positions were not decoded by a shallow model`);
    const further = (key: keyof ProgramCost) => more[key] + (layers - SHALLOW) * (more[key] - less[key]);
    const keys = Object.keys(more) as (keyof ProgramCost)[];
    const made = Object.fromEntries(keys.map((key) => [key, further(key)])) as unknown as ProgramCost;
    this.#extrapolations.set(`${[layers, B, C]}`, made);
    return made;
  }

  /** Counts a program's runs, with what is alive while it does. */
  #count(measured: ProgramCost, times = 1): void {
    if (!this.#counts) return;
    this.#ledger.set(measured, (this.#ledger.get(measured) ?? 0) + times);
    const results = measured.outputs - measured.shared;
    const total = this.#bytes + results + measured.temporaries;
    if (total <= this.#peak.total) return;
    const { temporaries } = measured;
    this.#peak = { ...noPeak(), total, results, temporaries };
    for (const { use, bytes } of this.#alive) this.#peak.kept[use ?? "activations"] += bytes;
  }

  async #make(spec: TensorSpec, rounded = false): Promise<DryHandle> {
    const elements = await once(this.#sizes, `${spec.dtype}[${spec.shape}]`, async () => {
      const { call } = await this.#connection.ask({ call: "sizes", specs: [spec] });
      return (call.elements as number[])[0]!;
    });
    const handle = new DryHandle(this, spec, elements * (rounded ? 2 : BYTES[spec.dtype]), rounded);
    this.#alive.add(handle);
    this.#bytes += handle.bytes;
    return handle;
  }

  #own(handle: Handle): DryHandle {
    if (!(handle instanceof DryHandle && handle.owner === this))
      throw new Error("tensor: a handle of another runtime");
    if (handle.freed)
      throw new Error(`tensor: a ${handle.dtype}[${handle.shape}] was used after it had been freed`);
    return handle;
  }
}

const nothing: ProgramCost = {
  ...{ operations: 0, moved: 0, exchanged: 0, outside: 0, inputs: 0, outputs: 0, shared: 0, temporaries: 0 },
};

function noPeak(): MemoryPeak {
  const kept = { weights: 0, moments: 0, gradients: 0, caches: 0, activations: 0 };
  return { total: 0, kept, results: 0, temporaries: 0 };
}

function ofInts(shape: readonly number[]): TensorSpec {
  return { shape, dtype: "int32" };
}

function once<T>(known: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const made = known.get(key) ?? make();
  known.set(key, made);
  return made;
}

function hashOf(call: object): string {
  return createHash("sha256").update(JSON.stringify(call)).digest("base64");
}

/** Which devices are meant. */
export interface DryOptions extends Pick<XlaOptions, "python" | "dtype" | "data" | "patience"> {
  devices: number;
  platform: RuntimeInfo["platform"];
  device: string;
  /** Bytes that each device has for tensors. */
  memory: number;
  /** Tokens that are never drawn: completions become as long as they may. */
  ends: readonly number[];
}

/**
 * Starts a worker that compiles for devices that are not there. Close the runtime when done.
 *
 * @throws UsageError where there is no Python with jax that is new enough, or the devices are not `data` equal groups
 */
export async function startDry({
  platform,
  device,
  memory,
  ends,
  ...options
}: DryOptions): Promise<DryRuntime> {
  const { told, connection, stop } = await greetWorker(options, { plan: true });
  const info = {
    ...{ name: "xla" as const, versions: told.versions as Record<string, string> },
    ...{ threads: options.devices, platform, device, tokensPerCall: TOKENS_PER_CALL },
    devices: devicesOf(options.devices, options.data, memory),
    ...(options.dtype === "bfloat16" && { operands: options.dtype }),
  };
  return new DryRuntime(info, { dtype: options.dtype ?? "float32", ends }, connection, stop);
}

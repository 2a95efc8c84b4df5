/** @file Runs one program after another in QuickJS, each in a virtual machine that is as good as new. */

import { JSException, type JSValueHandle, QuickJS, type Snapshot } from "quickjs-wasi";
import type { Answer, Failure, Limits, SandboxProgram } from "./sandbox.ts";
import { currentThread, threadMilliseconds } from "./thread-time.ts";

const NOT_RUN: Answer = {
  error: "not run: an earlier input ran out or broke the virtual machine",
  ranOut: true,
};

/** What QuickJS says where the memory or the stack of a machine is used up. */
const SPENT =
  /^(?:InternalError: (?:out of memory|stack overflow)|RangeError: Maximum call stack size exceeded)/;

/** An interrupt may be swallowed by native code, and the program goes on. So many budgets later it is cut off. */
const SWALLOWED = 2;

/** QuickJS asks whether to go on once in so many turns. */
const TURNS_PER_INTERRUPT = 10_000;

interface Machine {
  vm: QuickJS;
  memory: WebAssembly.Memory;
  snapshot: Snapshot;
}

/**
 * Runs programs, each in a fresh virtual machine.
 *
 * Everything that QuickJS knows lies in its WebAssembly memory. So a machine is made new by copying back the memory
 * that it had when it was created: 0.03 ms, where creating one takes 1 ms. A machine whose memory has grown, or that
 * broke off in the middle of native code, is thrown away instead.
 */
export class ProgramRunner {
  private machine: Machine | undefined;
  /** Of what is under way: what it may use, what it has used, and when it began by either clock. */
  private allowed = 0;
  private turns = 0;
  private began = 0;
  private computedAt = { wall: Number.NEGATIVE_INFINITY, thread: 0 };
  private readonly thread = currentThread();
  private readonly wasm: WebAssembly.Module;
  private readonly limits: Limits;

  constructor(wasm: WebAssembly.Module, limits: Limits) {
    this.wasm = wasm;
    this.limits = limits;
  }

  /** The answers to the program's inputs, in their order. Never throws on account of the program. */
  async run({ source, inputs, calls = 1 }: SandboxProgram): Promise<Answer[]> {
    const { vm } = await this.freshMachine();
    const program = this.attempt(1, () => ({ value: vm.evalCode(source, "program") }));
    if ("error" in program) return inputs.map(() => program);
    if (!program.value.isFunction) return inputs.map(() => ({ error: "the program is not a function" }));
    let ended = false;
    return inputs.map((input) => {
      if (!this.machine || ended) return NOT_RUN;
      const answer = this.attempt(calls, () =>
        this.read(vm.callFunction(program.value, vm.undefined, vm.newNumber(input))),
      );
      ended = this.spent() !== undefined;
      return answer;
    });
  }

  /** Does something within so many budgets. */
  private attempt<T>(budgets: number, action: () => T): T | Failure {
    this.allowed = budgets;
    this.turns = 0;
    this.began = this.computed();
    try {
      const result = action();
      // An interrupt that the program swallowed: what comes after the end is no answer.
      return this.spent() ?? result;
    } catch (error) {
      // Anything but a JavaScript exception cut through native frames, whose state is unknown now.
      if (!(error instanceof JSException)) {
        this.machine = undefined;
        return this.spent() ?? { error: this.clip(`broke the virtual machine: ${error}`), ranOut: true };
      }
      const text = `${error.name}: ${error.message}`;
      error.dispose();
      return this.spent() ?? { error: this.clip(text), ...(SPENT.test(text) && { ranOut: true }) };
    }
  }

  /** What it has run out of, if it has. */
  private spent(): Failure | undefined {
    const { turns, timeMs } = this.limits;
    if (this.turns > this.allowed * turns)
      return { error: `exceeded ${this.allowed * turns} turns`, ranOut: true };
    if (this.overdue()) return { error: `exceeded ${this.allowed * timeMs} ms`, ranOut: true };
    return undefined;
  }

  /** Processor time is never more than the clock's, and dear to ask for. */
  private overdue(): boolean {
    const most = this.allowed * this.limits.timeMs;
    if (performance.now() - this.computedAt.wall <= most) return false;
    return threadMilliseconds(this.thread) - this.began > most;
  }

  /** The processor time by now, up to a millisecond. */
  private computed(): number {
    const wall = performance.now();
    if (wall - this.computedAt.wall > 1) this.computedAt = { wall, thread: threadMilliseconds(this.thread) };
    return this.computedAt.thread;
  }

  /** QuickJS asks so once in a while whether to stop. */
  private interrupt(): boolean {
    this.turns += TURNS_PER_INTERRUPT;
    if (this.turns > SWALLOWED * this.allowed * this.limits.turns) throw new Error("it swallows interrupts");
    return this.spent() !== undefined;
  }

  private clip(text: string): string {
    return text.slice(0, this.limits.outputCharacters);
  }

  /** Reads a primitive without running any of the program's code, as converting an object would. */
  private read(result: JSValueHandle): Answer {
    if (result.isNumber) return { value: result.toNumber() };
    if (result.isBool) return { value: result.toBoolean() };
    if (result.isNull) return { value: null };
    if (!result.isString) return { error: `returned ${result.isArray ? "array" : result.typeof}` };
    if (result.length > this.limits.outputCharacters) return { error: "returned a string that is too long" };
    return { value: result.toString() };
  }

  private async freshMachine(): Promise<Machine> {
    const { machine } = this;
    if (machine && machine.memory.buffer.byteLength === machine.snapshot.memory.byteLength) {
      new Uint8Array(machine.memory.buffer).set(machine.snapshot.memory);
      return machine;
    }
    this.machine = await this.createMachine();
    return this.machine;
  }

  private async createMachine(): Promise<Machine> {
    let memory!: WebAssembly.Memory;
    const vm = await QuickJS.create({
      wasm: this.wasm,
      memoryLimit: this.limits.memoryBytes,
      maxStackSize: 256 * 1024,
      interruptHandler: () => this.interrupt(),
      timezoneOffset: 0,
      wasi: (itsMemory: WebAssembly.Memory) => {
        memory = itsMemory;
        return {
          // The clock stands still, which also fixes the seed of Math.random: equal programs give equal answers.
          clock_time_get(_clock: number, _precision: bigint, pointer: number) {
            new DataView(itsMemory.buffer).setBigUint64(pointer, 0n, true);
            return 0;
          },
          // Nothing in the machine may write to the host's terminal. 8 is WASI's "bad file descriptor".
          fd_write: () => 8,
        };
      },
    });
    // The handle of `undefined` is made on first use; it has to be inside the snapshot to stay valid.
    void vm.undefined;
    return { vm, memory, snapshot: vm.snapshot() };
  }
}

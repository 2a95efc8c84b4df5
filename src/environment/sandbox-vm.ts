/** @file Runs one program after another in QuickJS, each in a virtual machine that is as good as new. */

import { JSException, type JSValueHandle, QuickJS, type Snapshot } from "quickjs-wasi";
import type { Answer, Limits, Program } from "./sandbox.ts";

const NOT_RUN: Answer = { error: "not run: an earlier input used up the time or broke the virtual machine" };

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
  private deadline = 0;
  private turns = 0;
  private readonly wasm: WebAssembly.Module;
  private readonly limits: Limits;

  constructor(wasm: WebAssembly.Module, limits: Limits) {
    this.wasm = wasm;
    this.limits = limits;
  }

  /** The answers to the program's inputs, in their order. Never throws on account of the program. */
  async run({ source, inputs }: Program): Promise<Answer[]> {
    const { vm } = await this.freshMachine();
    this.deadline = performance.now() + this.limits.timeMs;
    this.turns = 0;
    const program = this.attempt(() => ({ value: vm.evalCode(source, "program") }));
    if ("error" in program) return inputs.map(() => program);
    if (!program.value.isFunction) return inputs.map(() => ({ error: "the program is not a function" }));
    return inputs.map((input) => {
      if (!this.machine || this.exhausted() || this.overdue()) return NOT_RUN;
      return this.attempt(() => this.read(vm.callFunction(program.value, vm.undefined, vm.newNumber(input))));
    });
  }

  private attempt<T>(action: () => T): T | { error: string } {
    try {
      return action();
    } catch (error) {
      if (this.exhausted()) return { error: `exceeded ${this.limits.turns} turns` };
      if (this.overdue()) return { error: `exceeded ${this.limits.timeMs} ms` };
      if (error instanceof JSException) return { error: this.clip(`${error.name}: ${error.message}`) };
      // Anything but a JavaScript exception cut through native frames, whose state is unknown now.
      this.machine = undefined;
      return { error: this.clip(`broke the virtual machine: ${error}`) };
    }
  }

  private exhausted(): boolean {
    return this.turns > this.limits.turns;
  }

  private overdue(): boolean {
    return performance.now() > this.deadline;
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
      interruptHandler: () => {
        this.turns += TURNS_PER_INTERRUPT;
        return this.exhausted() || this.overdue();
      },
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

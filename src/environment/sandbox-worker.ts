/** @file The thread that the sandbox runs programs in: takes a batch, sends back each program's answers in order. */

import { parentPort, workerData } from "node:worker_threads";
import type { SandboxProgram, SandboxWorkerData } from "./sandbox.ts";
import { ProgramRunner } from "./sandbox-vm.ts";
import { currentThread } from "./thread-time.ts";

const { wasm, limits, progress } = workerData as SandboxWorkerData;
Atomics.store(progress, 1, currentThread());
const runner = new ProgramRunner(wasm, limits);

parentPort!.on("message", async (programs: SandboxProgram[]) => {
  for (const [index, program] of programs.entries()) {
    Atomics.store(progress, 0, index);
    parentPort!.postMessage(await runner.run(program));
  }
  Atomics.store(progress, 0, -1);
});

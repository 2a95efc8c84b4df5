/** @file A process with a worker that does not end by itself. */

import { WorkerProcess } from "../src/tensor/xla/process.ts";

const worker = new WorkerProcess(["sleep", "60"], {});
await worker.end(200);
console.log("ended");

/** @file A process that uses XLA and ends without closing it; or, told `wait`, does not end. */

import { floats } from "../src/tensor/index.ts";
import { startXla } from "../src/tensor/xla/start.ts";

const runtime = await startXla();
const { data } = await runtime.get(await runtime.put(floats([2], Float32Array.of(1, 2))));
console.log(data.join());
if (process.argv[2] === "wait") setInterval(() => {}, 1000);

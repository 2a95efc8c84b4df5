/** @file Starts a worker with JAX, and makes a runtime of it. */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../errors.ts";
import { pythonOf } from "../../python/index.ts";
import { threads } from "../onnx/runtime.ts";
import type { RuntimeInfo } from "../runtime.ts";
import { Connection } from "./connection.ts";
import { type Message, PROTOCOL } from "./message.ts";
import { CHOOSE, WorkerProcess } from "./process.ts";
import { XlaRuntime } from "./runtime.ts";

/** The oldest jax that is known to do. */
export const MINIMUM_JAX = "0.6.0";

/** What is decoded beyond a row's end is lost; what crosses the socket costs as much for one token as for many. */
const TOKENS_PER_CALL = 16;

/** Milliseconds that JAX may take to find its devices. */
const STARTING = 300_000;

/** How programs run on XLA. */
export interface XlaOptions {
  /** The Python that has jax. Default: what the variable PROBEWARD_PYTHON says, else `python3`. */
  python?: string | undefined;
  /** What operands of matrix products are rounded to; everything else is float32 in any case. Default: float32. */
  dtype?: "float32" | "bfloat16" | undefined;
  /** So many devices of a CPU, for trying out how programs are divided. Default: the devices that there are. */
  devices?: number | undefined;
  /** So many processes that compute one program together, on this machine. Default 1. */
  processes?: number | undefined;
  /** Groups of devices that each hold all weights. Default 1: weights are divided among all devices. */
  data?: number | undefined;
  /** Seconds that a call may take before the worker counts as hung. Default 1800. */
  patience?: number | undefined;
}

/** Where JAX keeps compiled programs from one start to the next: only this user can write there. */
async function compiledPrograms(): Promise<string> {
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "probeward", "xla");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/**
 * Starts a worker. Close the runtime when done; where this process ends without, the worker ends with it.
 *
 * @throws UsageError where there is no Python, or no jax in it, or one that is too old
 * @throws Error where the worker ends before it works
 */
export async function startXla(options: XlaOptions = {}): Promise<XlaRuntime> {
  const { dtype = "float32", devices, processes = 1, data = 1, patience = 1800 } = options;
  const python = pythonOf(options.python);
  // Only this user can enter it. It is gone as soon as all processes are in.
  const folder = await mkdtemp(join(tmpdir(), "probeward-xla-"));
  const server = createServer();
  const workers: WorkerProcess[] = [];
  const killAll = () => {
    for (const worker of workers) worker.kill();
  };
  try {
    const path = join(folder, "socket");
    await new Promise<void>((resolve, reject) => {
      server.on("error", reject).listen(path, resolve);
    });
    const connected = new Promise<Socket>((resolve) => server.once("connection", resolve));
    const token = randomBytes(32).toString("hex");
    const env = {
      NPROC: String(Math.max(1, Math.floor(threads() / processes))),
      ...(processes > 1 && { PROBEWARD_XLA_TOKEN: token }),
    };
    for (let i = 0; i < processes; i++) {
      const together = ["--peers", join(folder, "peers"), "--process", `${i}`, "--processes", `${processes}`];
      workers.push(
        new WorkerProcess(
          python,
          [...(i === 0 ? ["--socket", path] : []), ...(processes > 1 ? together : [])],
          env,
        ),
      );
    }
    const ended = Promise.race(workers.map((worker) => worker.ended));
    const socket = await Promise.race([connected, rejected(ended)]);
    const connection = new Connection(socket, patience * 1000, (error) => {
      connection.end(error);
      killAll();
    });
    // A worker that is gone is heard of by its socket first; why, by its process.
    socket.on("error", () => {});
    ended.then((error) => {
      connection.end(error);
      killAll();
    });
    const greeting = {
      ...{ call: "hello", protocol: PROTOCOL, minimum: MINIMUM_JAX, cache: await compiledPrograms() },
      ...{ dtype, devices: devices ?? null, data, processes },
      ...(processes > 1 && { coordinator: `127.0.0.1:${await freePort()}` }),
    };
    const { call } = await connection.ask(greeting, {}, STARTING);
    if ("problem" in call) throw problem(python, call);
    const info = {
      name: "xla" as const,
      versions: call.versions as Record<string, string>,
      threads: call.devices as number,
      platform: call.platform as RuntimeInfo["platform"],
      device: String(call.device),
      tokensPerCall: TOKENS_PER_CALL,
    };
    return new XlaRuntime(info, connection, () => stop(connection, workers));
  } catch (error) {
    killAll();
    throw error;
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function stop(connection: Connection, workers: readonly WorkerProcess[]): Promise<void> {
  // One that is gone already is as good.
  await connection.ask({ call: "close" }).catch(() => {});
  connection.end(new Error("xla: the runtime was closed"));
  for (const worker of workers) {
    const timer = setTimeout(() => worker.kill(), 10_000);
    await worker.ended;
    clearTimeout(timer);
  }
}

async function rejected(error: Promise<Error>): Promise<never> {
  throw await error;
}

/** A port of this machine that nothing listens on: processes of JAX find each other there. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

function problem(python: string, { problem, error }: Message["call"]): Error {
  if (problem === "no-jax") return new UsageError(`xla: ${python} has no jax (${error}). ${CHOOSE}`);
  if (problem === "old-jax")
    return new UsageError(
      `xla: ${python} has jax ${error}, and ${MINIMUM_JAX} or later is needed: ${python} -m pip install --upgrade jax`,
    );
  return new UsageError(`xla: ${error}`);
}

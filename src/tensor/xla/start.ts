/** @file Starts a worker with JAX, and makes a runtime of it. */

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../errors.ts";
import { threads } from "../onnx/runtime.ts";
import { Connection } from "./connection.ts";
import { type Message, PROTOCOL } from "./message.ts";
import { CHOOSE, pythonOf, WorkerProcess } from "./process.ts";
import { XlaRuntime } from "./runtime.ts";

/** The oldest jax that is known to do. */
export const MINIMUM_JAX = "0.6.0";

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
  const { dtype = "float32", devices, data = 1, patience = 1800 } = options;
  const python = pythonOf(options.python);
  // Only this user can enter it. It is gone as soon as the worker is in.
  const folder = await mkdtemp(join(tmpdir(), "probeward-xla-"));
  const server = createServer();
  let worker: WorkerProcess | undefined;
  try {
    const path = join(folder, "socket");
    await new Promise<void>((resolve, reject) => {
      server.on("error", reject).listen(path, resolve);
    });
    const connected = new Promise<Socket>((resolve) => server.once("connection", resolve));
    worker = new WorkerProcess(python, ["--socket", path], { NPROC: String(threads()) });
    const socket = await orEnd(connected, worker);
    const connection = connect(socket, worker, patience * 1000);
    const greeting = {
      ...{ call: "hello", protocol: PROTOCOL, minimum: MINIMUM_JAX, cache: await compiledPrograms() },
      ...{ dtype, devices: devices ?? null, data },
    };
    const { call } = await connection.ask(greeting, {}, STARTING);
    if ("problem" in call) throw problem(python, call);
    const info = {
      name: "xla" as const,
      versions: call.versions as Record<string, string>,
      threads: call.devices as number,
    };
    return new XlaRuntime(info, connection, () => stop(connection, worker!));
  } catch (error) {
    worker?.kill();
    throw error;
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** A connection that ends with the worker, and ends the worker where it cannot go on. */
function connect(socket: Socket, worker: WorkerProcess, patience: number): Connection {
  const connection = new Connection(socket, patience, (error) => {
    connection.end(error);
    worker.kill();
  });
  // A worker that is gone is heard of by its socket first; why, by its process.
  socket.on("error", () => {});
  worker.ended.then((error) => connection.end(error));
  return connection;
}

async function stop(connection: Connection, worker: WorkerProcess): Promise<void> {
  // One that is gone already is as good.
  await connection.ask({ call: "close" }).catch(() => {});
  connection.end(new Error("xla: the runtime was closed"));
  const timer = setTimeout(() => worker.kill(), 10_000);
  await worker.ended;
  clearTimeout(timer);
}

/** @throws Error that says how the worker ended, where it does before */
async function orEnd<T>(wanted: Promise<T>, worker: WorkerProcess): Promise<T> {
  const ended = worker.ended.then((error) => {
    throw error;
  });
  return Promise.race([wanted, ended]);
}

function problem(python: string, { problem, error }: Message["call"]): Error {
  if (problem === "no-jax") return new UsageError(`xla: ${python} has no jax (${error}). ${CHOOSE}`);
  if (problem === "old-jax")
    return new UsageError(
      `xla: ${python} has jax ${error}, and ${MINIMUM_JAX} or later is needed: ${python} -m pip install --upgrade jax`,
    );
  return new UsageError(`xla: ${error}`);
}

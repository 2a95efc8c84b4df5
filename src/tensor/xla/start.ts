/** @file Starts a worker with JAX, on one machine or several, and makes a runtime of it. */

import { mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { LostError, UsageError } from "../../errors.ts";
import { pythonOf } from "../../python/index.ts";
import type { DevicesInfo, RuntimeInfo } from "../runtime.ts";
import { Connection } from "./connection.ts";
import { gather, type JoinedProcess, tell } from "./gather.ts";
import { deviceGroups } from "./groups.ts";
import { type Message, MessageReader, PROTOCOL } from "./message.ts";
import type { XlaOptions } from "./options.ts";
import { AGAIN, CHOOSE } from "./process.ts";
import { XlaRuntime } from "./runtime.ts";
import { startWorkers, type Workers } from "./workers.ts";

/** The oldest jax that is known to do. */
export const MINIMUM_JAX = "0.6.0";

/** What is decoded beyond a row's end is lost; what crosses the socket costs as much for one token as for many. */
export const TOKENS_PER_CALL = 16;

/** Milliseconds that a process may take to end. */
const ENDING = 10_000;

/** Milliseconds that JAX may take to find its devices. */
const STARTING = 300_000;

/** Where JAX keeps compiled programs from one start to the next: only this user can write there. */
async function compiledPrograms(): Promise<string> {
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "probeward", "xla");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/**
 * Starts a worker. Close the runtime when done; where this process ends without, the worker ends with it.
 *
 * @throws UsageError where there is no Python, or no jax in it, or one that is too old; where options do not go together
 * @throws Error where the worker ends before it works, or not all of its processes come
 */
export async function startXla(options: XlaOptions = {}): Promise<XlaRuntime> {
  const { told, machines, connection, stop } = await greetWorker(options);
  const found = devicesOf(told.devices as number, options.data, told.memory as number | null);
  const { data = deviceGroups(machines, found, options.kept ?? Number.POSITIVE_INFINITY) } = options;
  if (data !== found.copies) await divide(data, connection, stop);
  const info = {
    name: "xla" as const,
    versions: told.versions as Record<string, string>,
    threads: told.devices as number,
    devices: { ...found, copies: data },
    platform: told.platform as RuntimeInfo["platform"],
    device: String(told.device),
    ...(options.dtype === "bfloat16" && { operands: options.dtype }),
    tokensPerCall: TOKENS_PER_CALL,
  };
  return new XlaRuntime(info, connection, stop);
}

/** Has devices be so many groups. */
async function divide(data: number, connection: Connection, stop: () => Promise<void>): Promise<void> {
  try {
    await connection.ask({ call: "divide", data });
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What is known of devices. @param memory bytes of each */
export function devicesOf(count: number, copies = 1, memory: number | null = null): DevicesInfo {
  return { count, copies, ...(memory !== null && { memory: count * memory }) };
}

/** A worker that has been greeted. */
export interface GreetedWorker {
  /** What it said of itself. */
  told: Message["call"];
  /** On so many machines are its processes. */
  machines: number;
  connection: Connection;
  stop: () => Promise<void>;
}

/** Starts the processes of a worker and greets them. @param asked what the greeting says beside the options @throws as `startXla` */
export async function greetWorker(options: XlaOptions, asked: object = {}): Promise<GreetedWorker> {
  const { dtype = "float32", devices, data = 1, patience = 1800 } = options;
  const workers = await startWorkers(options);
  const killAll = () => {
    for (const child of workers.children) child.kill();
  };
  const gone = new AbortController();
  for (const child of workers.children) child.ended.then((error) => gone.abort(error));
  let connection: Connection | undefined;
  let closing = false;
  try {
    const { server, token, count } = workers;
    const joined = await gather(server, token, count, { patience: workers.patience, signal: gone.signal });
    const [first, ...others] = joined as [JoinedProcess, ...JoinedProcess[]];
    const end = (error: Error) => {
      connection?.end(error);
      for (const { socket } of others) socket.destroy();
      if (!closing) killAll();
    };
    // What goes wrong in one process because another one is gone is heard of before that is.
    const isGone = new Promise<Error>((resolve) => {
      gone.signal.addEventListener("abort", () => resolve(gone.signal.reason as Error));
    });
    const explain = (error: Error) => Promise.race([isGone, setTimeout(1000, error)]);
    connection = new Connection(first.socket, patience * 1000, end, others.length > 0 ? explain : undefined);
    gone.signal.addEventListener("abort", () => end(gone.signal.reason as Error));
    for (const one of joined) one.socket.once("close", () => lost(one, workers).then((e) => gone.abort(e)));
    for (const one of others) watch(one, (call) => gone.abort(problem(one, options, call)));
    for (const one of others) tell(one.socket, { call: "meet", address: addressFor(one, first) });
    const greeting = {
      ...{ call: "hello", protocol: PROTOCOL, minimum: MINIMUM_JAX, cache: await compiledPrograms() },
      ...{ dtype, devices: devices ?? null, data, processes: count, ...asked },
      ...(count > 1 && { coordinator: `${hostFor(others[0]!, first) ?? "127.0.0.1"}:${first.coordinator}` }),
    };
    const { call } = await connection.ask(greeting, {}, STARTING);
    if ("problem" in call) throw problem(first, options, call);
    const opened = connection;
    const stopAll = () => {
      closing = true;
      return stop(opened, others, workers);
    };
    const machines = new Set(joined.map(({ host }) => host)).size;
    return { told: call, machines, connection: opened, stop: stopAll };
  } catch (error) {
    connection?.end(error as Error);
    killAll();
    throw error;
  } finally {
    workers.server.close();
    await workers.tidy();
  }
}

/** Where another process finds the first one. */
function addressFor(other: JoinedProcess, first: JoinedProcess): string | [host: string, port: number] {
  if (typeof first.peers === "string") return first.peers;
  return [hostFor(other, first)!, first.peers!];
}

/** The first one's machine: this one, at the address by which the other came here, or the one that it came from. */
function hostFor({ socket: other }: JoinedProcess, { socket: first }: JoinedProcess): string | undefined {
  const isHere = /^(::ffff:)?127\.|^::1$/.test(first.remoteAddress ?? "");
  return (isHere ? other.localAddress : first.remoteAddress)?.replace(/^::ffff:/, "");
}

/** Hears what a process that does not answer calls has to say: that it cannot go on. */
function watch({ socket }: JoinedProcess, onProblem: (call: Message["call"]) => void): void {
  const reader = new MessageReader(({ call }) => onProblem(call));
  socket.on("data", (chunk) => {
    try {
      reader.push(chunk);
    } catch (error) {
      onProblem({ fatal: (error as Error).message });
    }
  });
  socket.unref();
}

/** A process whose connection has ended. Where it is this one's child, that one says more in a moment. */
async function lost({ process: which, host }: JoinedProcess, { children, count }: Workers): Promise<Error> {
  await Promise.race([setTimeout(500, undefined, { ref: false }), ...children.map(({ ended }) => ended)]);
  const name = count > 1 ? `process ${which} of the worker, on ${host},` : `the worker, on ${host},`;
  return new LostError(
    `xla: ${name} is gone: it was ended, or its machine was, or the way there. ${AGAIN}${children[0]?.lastWords ?? ""}`,
  );
}

async function stop(
  connection: Connection,
  others: readonly JoinedProcess[],
  workers: Workers,
): Promise<void> {
  // One that is gone already is as good.
  await connection.ask({ call: "close" }).catch(() => {});
  connection.end(new Error("xla: the runtime was closed"));
  for (const { socket } of others) socket.destroy();
  for (const child of workers.children) await child.end(ENDING);
}

function problem(from: JoinedProcess, options: XlaOptions, call: Message["call"]): Error {
  const { problem, error, fatal } = call;
  const elsewhere = from.process > 0 || (options.nodes ?? 1) > 1 || options.listen !== undefined;
  const where = elsewhere ? `process ${from.process} on ${from.host}: ` : "";
  const python = options.listen === undefined ? pythonOf(options.python) : "its Python";
  if (problem === "no-jax") return new UsageError(`xla: ${where}${python} has no jax (${error}). ${CHOOSE}`);
  if (problem === "old-jax")
    return new UsageError(
      `xla: ${where}${python} has jax ${error}, and ${MINIMUM_JAX} or later is needed: ${python} -m pip install --upgrade jax`,
    );
  if (problem === undefined) return new Error(`xla: ${where}the worker got ${fatal}`);
  return new UsageError(`xla: ${where}${error}`);
}

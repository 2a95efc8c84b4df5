/** @file A process that trains runs for another one, which names them one after the other over Node's channel between the two. */

import { spawn } from "node:child_process";
import { on } from "node:events";
import { type OnEvent, type StudyEvent, withTrainer } from "../study/index.ts";

/** What a worker is told: to train a run, named as by `runName`, or that there is nothing more to do. */
type Order = { kind: "train"; run: string } | { kind: "end" };

/** What a worker tells: what happens in a run, and that the run has ended. */
type Message = StudyEvent | { kind: "end" };

export interface Worker {
  /**
   * Has a run trained, to its end or its failure. One at a time.
   *
   * @param run as `runName` gives it
   * @returns what was wrong, apart from what the run itself told
   */
  train(run: string, onEvent: OnEvent): Promise<string | undefined>;
  /** Whether it can train another one. */
  readonly alive: boolean;
  /** Lets it end, and waits until it has. */
  close(): Promise<void>;
}

/**
 * Starts a worker. It loads what runs of a study share once, however many it trains.
 *
 * @param program this program: what `task` and its arguments are given to
 * @param threads that it computes with
 * @param signal once it is aborted, the worker keeps the step that it is in, and ends
 */
export function startWorker(
  [command, ...args]: readonly string[],
  folder: string,
  threads: number,
  signal?: AbortSignal,
): Worker {
  const child = spawn(command!, [...args, "task", "work", folder], {
    env: { ...process.env, PROBEWARD_THREADS: String(threads) },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const messages = on(child, "message", { close: ["disconnect"] });
  // Where it cannot be told, it has ended, and that is heard of elsewhere.
  const tell = (order: Order) => child.send(order, () => {});
  let said = "";
  for (const stream of [child.stdout!, child.stderr!])
    stream.on("data", (data) => {
      said = `${said}${data}`.slice(-2000);
    });
  const whatWasSaid = () => {
    const text = said.trim();
    said = "";
    return text || undefined;
  };
  const stop = () => child.kill("SIGTERM");
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  const ended = new Promise<string>((resolve) => {
    child.on("close", (status, killed) => {
      signal?.removeEventListener("abort", stop);
      if (killed)
        resolve(`its process was ended by ${killed}; where that was for want of memory, give fewer --jobs`);
      else resolve(whatWasSaid() ?? `its process ended, with status ${status}`);
    });
  });
  return {
    async train(run, onEvent) {
      tell({ kind: "train", run });
      for (;;) {
        const { value, done } = await messages.next();
        if (done) return ended;
        const [message] = value as [Message];
        if (message.kind === "end") return whatWasSaid();
        onEvent(message);
      }
    },
    get alive() {
      return child.connected;
    },
    async close() {
      tell({ kind: "end" });
      await ended;
    },
  };
}

/**
 * What a worker does: trains the runs of a prepared study that it is told to, until the process that started it wants
 * no more, or is no more. A run that is under way then keeps the step that it is in.
 *
 * @throws StoppedError where it was asked to stop
 */
export async function work(folder: string, signal: AbortSignal): Promise<void> {
  const alone = new AbortController();
  process.once("disconnect", () => alone.abort());
  const tell = (message: Message) => {
    if (process.connected) process.send!(message);
  };
  try {
    await withTrainer(folder, tell, AbortSignal.any([signal, alone.signal]), async (train) => {
      for await (const [order] of on(process, "message", { close: ["disconnect"] })) {
        const told = order as Order;
        if (told.kind === "end") break;
        await train([told.run]);
        tell({ kind: "end" });
      }
    });
  } finally {
    if (process.connected) process.disconnect();
  }
}

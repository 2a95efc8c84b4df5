/** @file `node:worker_threads` for a browser: the sandbox's thread is a worker. Both ends are here. */

import SandboxWorker from "../../environment/sandbox-worker.ts?worker";

type Listener = (value: never) => void;

/** As seen from who starts it. */
export class Worker {
  readonly #worker: globalThis.Worker;
  readonly #listeners = new Map<string, Listener[]>();
  #crash: Error | undefined;

  constructor(_file: URL, { workerData }: { workerData: unknown }) {
    this.#worker = new SandboxWorker({ name: NAME });
    this.#worker.onmessage = ({ data }) => this.#tell("message", data);
    this.#worker.onerror = (event) => {
      this.#crash = new Error(event.message || "the worker could not be loaded");
      this.#tell("error", this.#crash);
      this.#tell("exit", undefined);
    };
    this.#worker.postMessage(workerData);
  }

  on(event: string, listener: Listener): void {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
  }

  removeAllListeners(event: string): void {
    this.#listeners.delete(event);
  }

  postMessage(message: unknown): void {
    this.#worker.postMessage(message);
  }

  /** A worker ends with its page anyway. */
  unref(): void {}

  async terminate(): Promise<void> {
    this.#worker.terminate();
    this.#tell("exit", undefined);
  }

  #tell(event: string, value: unknown): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(value as never);
  }
}

/** The name by which the thread knows what it is. */
const NAME = "sandbox";
const inside = self.name === NAME;

/** What the thread was started with: its first message. */
export const workerData: unknown = inside
  ? await new Promise((resolve) => {
      self.onmessage = ({ data }) => resolve(data);
    })
  : undefined;

/** As seen from inside. */
export const parentPort = inside
  ? {
      on(_event: "message", listener: (message: never) => void) {
        self.onmessage = ({ data }) => listener(data as never);
      },
      postMessage: (message: unknown) => self.postMessage(message),
    }
  : null;

export const isMainThread = true;

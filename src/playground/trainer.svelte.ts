/** @file What the page knows of the study that is shown, and of the thread that trains it. */

import type { StudyData } from "../report/data.ts";
import { applyUpdate } from "../report/update.ts";
import { ON_GPU } from "./compute.ts";
import type { Controls } from "./controls.ts";
import { folderOf, studyOf } from "./controls.ts";
import type { Errand, News } from "./messages.ts";
import StudyWorker from "./worker.ts?worker";
import { type Written, withWriting } from "./written.ts";

/** One at a time: what is shown is what is trained. */
export class Trainer {
  data = $state.raw<StudyData>();
  folder = $state<string>();
  /** What the study has told, in its own words. */
  said = $state.raw<readonly { kind: "stage" | "warning"; detail: string }[]>([]);
  /** What is being written, or was last. */
  written = $state.raw<Written>();
  progress = $state.raw<{ arm: string; done: number; total: number; seconds: number }>();
  checked = $state.raw<readonly { promise: string; broken?: string }[]>([]);
  running = $state(false);
  stopping = $state(false);
  problem = $state<string>();
  /** Whether the GPU computes. */
  onGpu = $state(false);
  #worker: Worker | undefined;
  #workerOnGpu = false;
  #began = 0;
  readonly #ended: () => void;

  /** @param ended told when nothing is done any more */
  constructor(ended: () => void) {
    this.#ended = ended;
  }

  run(controls: Controls): void {
    const folder = folderOf(controls);
    // Storage that the browser may clear when it likes is asked to be kept.
    void navigator.storage?.persist?.().catch(() => false);
    this.#order({ kind: "run", folder, asked: studyOf(controls) });
  }

  resume(folder: string): void {
    this.#order({ kind: "run", folder });
  }

  check(): void {
    this.checked = [];
    this.#order({ kind: "check" });
  }

  show(folder: string): void {
    this.#order({ kind: "show", folder });
  }

  /** Asks to stop after the step that is under way; asked again, ends the thread, which costs what no checkpoint has yet. */
  stop(): void {
    if (!this.stopping) {
      this.stopping = true;
      this.#worker?.postMessage({ kind: "stop" } satisfies Errand);
      return;
    }
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#end();
  }

  /** Shows nothing any more. */
  clear(): void {
    this.data = undefined;
    this.folder = undefined;
    this.said = [];
  }

  #order(order: Exclude<Errand, { kind: "stop" }>): void {
    this.clear();
    this.folder = "folder" in order ? order.folder : undefined;
    this.progress = undefined;
    this.written = undefined;
    this.problem = undefined;
    this.running = true;
    this.#began = performance.now();
    if (this.#workerOnGpu !== this.onGpu) {
      this.#worker?.terminate();
      this.#worker = undefined;
    }
    this.#worker ??= this.#start();
    this.#worker.postMessage(order);
  }

  #start(): Worker {
    this.#workerOnGpu = this.onGpu;
    const worker = new StudyWorker(this.onGpu ? { name: ON_GPU } : undefined);
    worker.onmessage = ({ data }: MessageEvent<News>) => this.#hear(data);
    worker.onerror = (event) => {
      this.problem = `The thread that trains has failed: ${event.message || "it could not be loaded"}. Run again: it resumes where it was.`;
      this.#worker = undefined;
      this.#end();
    };
    return worker;
  }

  #hear(news: News): void {
    if (news.kind === "study") this.data = news.data;
    else if (news.kind === "update") this.data = this.data && applyUpdate(this.data, news.update);
    else if (news.kind === "writing") this.written = withWriting(this.written, news.writing);
    else if (news.kind === "checked") this.checked = [...this.checked, news];
    else if (news.kind === "end") {
      this.problem = news.problem;
      this.#end();
    } else if (news.event.kind === "step") {
      const { arm, done, total } = news.event;
      this.progress = { arm, done, total, seconds: (performance.now() - this.#began) / 1000 };
    } else this.said = [...this.said, news.event];
  }

  #end(): void {
    this.running = false;
    this.written = undefined;
    this.stopping = false;
    this.#ended();
  }
}

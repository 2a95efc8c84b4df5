/** @file Watches one study's folder for those who look at it, and for nobody when nobody does. */

import { type StudyData, StudyReader, type StudyUpdate } from "../report/index.ts";

/**
 * What a viewer is told: first everything (`StudyData`), then what changed (`StudyUpdate`); or why there is nothing to see (its
 * `message`). As JSON, made once for all viewers: a study may be large, and a viewer slow.
 */
export interface ViewerMessage {
  event: "study" | "update" | "problem";
  data: Uint8Array<ArrayBuffer>;
}

export type Viewer = (message: ViewerMessage) => void;

/**
 * Reads a study's folder every `interval` milliseconds while it has viewers: looking at sizes and times works on every file system, network ones too.
 */
export class StudyWatch {
  readonly #folder: string;
  readonly #root: string;
  readonly #interval: number;
  readonly #viewers = new Set<Viewer>();
  #reader: StudyReader | undefined;
  /** Everything as it was read last. */
  #whole: Uint8Array<ArrayBuffer> | undefined;
  #problem: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;

  constructor(folder: string, root: string, interval: number) {
    this.#folder = folder;
    this.#root = root;
    this.#interval = interval;
  }

  /** Everything as it is now (`StudyData`), as JSON. @throws if the folder holds no study, or one that cannot be read */
  async data(): Promise<Uint8Array<ArrayBuffer>> {
    await this.#read();
    if (this.#problem !== undefined) throw new Error(this.#problem);
    return this.#everything();
  }

  /** Adds a viewer, who is told everything at once. Returns what removes it. */
  async view(viewer: Viewer): Promise<() => void> {
    await this.#read();
    this.#viewers.add(viewer);
    if (this.#problem !== undefined) viewer({ event: "problem", data: encoded({ message: this.#problem }) });
    else viewer({ event: "study", data: this.#everything() });
    this.#timer ??= setInterval(() => void this.#read(), this.#interval);
    return () => {
      this.#viewers.delete(viewer);
      if (this.#viewers.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }

  /** One reading at a time: whoever asks during one waits for it. */
  #read(): Promise<void> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<void> {
    const recovered = this.#problem !== undefined;
    try {
      this.#reader ??= await StudyReader.open(this.#folder, this.#root);
      const update = await this.#reader.poll();
      this.#problem = undefined;
      if (update) this.#whole = undefined;
      if (this.#viewers.size === 0) return;
      // After a problem viewers may have missed something.
      if (recovered) this.#tell({ event: "study", data: this.#everything() });
      else if (update) this.#tell({ event: "update", data: encoded(update) });
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#problem) this.#tell({ event: "problem", data: encoded({ message }) });
      this.#problem = message;
      this.#reader = undefined;
      this.#whole = undefined;
    }
  }

  #everything(): Uint8Array<ArrayBuffer> {
    this.#whole ??= encoded(this.#reader!.data());
    return this.#whole;
  }

  #tell(message: ViewerMessage): void {
    for (const viewer of this.#viewers) viewer(message);
  }
}

function encoded(data: StudyData | StudyUpdate | { message: string }): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(data));
}

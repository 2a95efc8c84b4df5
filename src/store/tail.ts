/** @file Follows a file of lines while another process writes it. */

import { constants } from "node:fs";
import { open, realpath, stat } from "node:fs/promises";
import { sep } from "node:path";

const NEWLINE = 10;
const CHUNK = 4 << 20;
/** Bytes of the longest line that is read: what is longer was not written by a run. */
const MAX_LINE = 64 << 20;

/** What a reader of lines is told. */
export interface LineListener {
  /** A whole line, without its end, and its number from 1. The bytes are valid only during the call. */
  line(bytes: Buffer, number: number): void;
  /** The file was replaced or became shorter: what was read before no longer counts. */
  restart(): void;
}

/**
 * The lines of a file as it grows. An absent file has none, and what follows the last newline is left for later: it may be a line that is being written at this moment.
 */
export class Tail {
  /** When the file last changed, in milliseconds since 1970; 0 where there is none. */
  changed = 0;
  readonly #path: string;
  readonly #root: string;
  #file: number | undefined;
  #offset = 0;
  #lines = 0;

  /** @param root a resolved folder that the file must be in after links are followed */
  constructor(path: string, root: string) {
    this.#path = path;
    this.#root = root;
  }

  /**
   * Reads what was added since the last time.
   *
   * @throws if the file is a link out of the root, cannot be read, or has a line of more than 64 MiB
   */
  async read(listener: LineListener): Promise<void> {
    const found = await statIfPresent(this.#path);
    if (found === undefined || found.ino !== this.#file || found.size < this.#offset) {
      if (this.#file !== undefined) listener.restart();
      this.#file = found?.ino;
      this.#offset = 0;
      this.#lines = 0;
    }
    this.changed = found?.mtimeMs ?? 0;
    if (found === undefined || found.size === this.#offset) return;
    await requireInside(this.#path, this.#root);
    const file = await open(this.#path, constants.O_RDONLY);
    try {
      let buffer = Buffer.allocUnsafe(Math.min(CHUNK, found.size - this.#offset));
      let filled = 0;
      for (;;) {
        // A line that is longer than all that fits.
        if (filled >= MAX_LINE)
          throw new Error(
            `line ${this.#lines + 1} is longer than ${MAX_LINE >> 20} MiB, and so no file of a run`,
          );
        if (filled === buffer.length) buffer = Buffer.concat([buffer], 2 * buffer.length);
        const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, this.#offset + filled);
        if (bytesRead === 0) return;
        filled += bytesRead;
        const bytes = buffer.subarray(0, filled);
        let start = 0;
        for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
          listener.line(bytes.subarray(start, end), ++this.#lines);
          start = end + 1;
        }
        this.#offset += start;
        filled = bytes.copy(buffer, 0, start);
      }
    } finally {
      await file.close();
    }
  }
}

/** @throws if the path, its links followed, is not in the folder `root` (itself resolved) */
export async function requireInside(path: string, root: string): Promise<void> {
  const real = await realpath(path);
  if (real !== root && !real.startsWith(root.endsWith(sep) ? root : root + sep))
    throw new Error(`${path} is a link out of the folder ${root}, and was left out.`);
}

export async function statIfPresent(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

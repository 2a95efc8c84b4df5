/** @file A safetensors file of any size, read tensor by tensor. */

import { type FileHandle, open } from "node:fs/promises";
import { withFile } from "../files.ts";
import { halvesInFile } from "./in-file.ts";
import { BrainTensor } from "./narrow.ts";
import {
  checkReadable,
  damaged,
  type Entry,
  maxHeaderLength,
  PIECE,
  parseHeader,
  read,
  readHeader,
  type SafetensorsFile,
} from "./safetensors.ts";
import { sizeOf, type Tensor } from "./types.ts";

/**
 * How a tensor is held that lies in bfloat16 (any other is wide): widened, as narrow as it lies, or not at all, so that it is read
 * from its file each time that its numbers are asked for.
 */
export type Held = "wide" | "narrow" | "in its file";

/** Tensors by name, read when asked for: no more than one is held twice. */
export interface TensorSource {
  /** Shapes by name. */
  readonly shapes: Record<string, readonly number[]>;
  /** @throws Error where the tensor's element type is not supported. */
  read(name: string, as?: Held): Promise<Tensor>;
  /** The name of the file that holds it. */
  fileOf(name: string): string;
  close(): Promise<void>;
}

/**
 * All of a file. Everything is checked before anything is allocated: nothing is larger than the file (twice its size for
 * half-precision tensors).
 *
 * @throws FileError where it cannot be read. @throws Error naming the file that is damaged
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await openSafetensors(path);
  try {
    const tensors: [string, Tensor][] = [];
    for (const name of Object.keys(file.shapes)) tensors.push([name, await file.read(name)]);
    // Not set one by one: a tensor may be called __proto__.
    return { tensors: Object.fromEntries(tensors), metadata: file.metadata };
  } finally {
    await file.close();
  }
}

/** @throws FileError where it cannot be read. @throws Error naming the file that is damaged */
export async function openSafetensors(
  path: string,
): Promise<TensorSource & Pick<SafetensorsFile, "metadata">> {
  const file = await withFile("read", path, () => open(path));
  try {
    const stats = await file.stat();
    const { size } = stats;
    if (size < 8) throw damaged(path, `it has ${size} bytes, fewer than the 8 that every file starts with`);
    const claimed = new DataView(await bytesAt(file, path, 0, 8)).getBigUint64(0, true);
    if (claimed > Math.min(size - 8, maxHeaderLength))
      throw damaged(path, `its header claims ${claimed} bytes of a file of ${size}`);
    const length = Number(claimed);
    const header = parseHeader(new Uint8Array(await bytesAt(file, path, 8, length)), path);
    const { entries, metadata } = readHeader(header, size - 8 - length, path);
    const byName = new Map<string, Entry>(entries.map((entry) => [entry.name, entry]));
    return {
      metadata,
      shapes: Object.fromEntries(entries.map(({ name, shape }) => [name, shape])),
      async read(name, as = "wide") {
        const entry = byName.get(name);
        if (entry === undefined) throw new Error(`${path}: lacks the tensor ${name}`);
        checkReadable(entry, path);
        const begin = 8 + length + entry.begin;
        const isBrain = entry.dtype === "BF16";
        if (isBrain && as === "in its file")
          return new BrainTensor(entry.shape, halvesInFile(path, stats, begin, sizeOf(entry.shape)));
        const bytes = await bytesAt(file, path, begin, entry.end - entry.begin);
        if (isBrain && as === "narrow") return new BrainTensor(entry.shape, new Uint16Array(bytes));
        return read(entry.dtype, entry.shape, bytes);
      },
      fileOf: () => path,
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Bytes of a file. @throws FileError where they cannot be read. @throws Error where the file is shorter */
export async function bytesAt(
  file: FileHandle,
  path: string,
  position: number,
  length: number,
): Promise<ArrayBuffer> {
  const bytes = new ArrayBuffer(length);
  for (let done = 0; done < length; ) {
    const piece = new Uint8Array(bytes, done, Math.min(PIECE, length - done));
    // A read may return fewer than asked for.
    const { bytesRead } = await withFile("read", path, () =>
      file.read(piece, 0, piece.length, position + done),
    );
    if (bytesRead === 0) throw damaged(path, `it ended ${length - done} bytes too early`);
    done += bytesRead;
  }
  return bytes;
}

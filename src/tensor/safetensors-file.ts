/** @file A safetensors file of any size, read tensor by tensor. */

import { type FileHandle, open } from "node:fs/promises";
import { withFile } from "../files.ts";
import {
  checkReadable,
  damaged,
  type Entry,
  maxHeaderLength,
  parseHeader,
  read,
  readHeader,
} from "./safetensors.ts";
import type { Tensor } from "./types.ts";

/** Tensors by name, read when asked for: no more than one is held twice. */
export interface TensorSource {
  /** Shapes by name. */
  readonly shapes: Record<string, readonly number[]>;
  /** @throws Error where the tensor's element type is not supported. */
  read(name: string): Promise<Tensor>;
  close(): Promise<void>;
}

/** @throws FileError where it cannot be read. @throws Error naming the file that is damaged */
export async function openSafetensors(path: string): Promise<TensorSource> {
  const file = await withFile("read", path, () => open(path));
  try {
    const { size } = await file.stat();
    const length = size < 8 ? 0 : Number((await bytesAt(file, 0, 8)).readBigUInt64LE());
    if (size < 8 || length > Math.min(size - 8, maxHeaderLength))
      throw damaged(path, `its header claims ${length} bytes of a file of ${size}`);
    const header = parseHeader(await bytesAt(file, 8, length), path);
    const { entries } = readHeader(header, size - 8 - length, path);
    const byName = new Map<string, Entry>(entries.map((entry) => [entry.name, entry]));
    return {
      shapes: Object.fromEntries(entries.map(({ name, shape }) => [name, shape])),
      async read(name) {
        const entry = byName.get(name);
        if (entry === undefined) throw new Error(`${path}: lacks the tensor ${name}`);
        checkReadable(entry, path);
        const bytes = await bytesAt(file, 8 + length + entry.begin, entry.end - entry.begin);
        return read(entry.dtype, entry.shape, bytes.buffer);
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Bytes of a file, in a buffer of their own. */
export async function bytesAt(
  file: FileHandle,
  position: number,
  length: number,
): Promise<Buffer<ArrayBuffer>> {
  const bytes = Buffer.from(new ArrayBuffer(length));
  for (let done = 0; done < length; ) {
    // A read may return fewer than asked for.
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw new Error(`the file ended ${length - done} bytes too early`);
    done += bytesRead;
  }
  return bytes;
}

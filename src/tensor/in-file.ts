/**
 * @file Numbers that stay in their file, and are read each time that they are asked for. What was read lately the system keeps in
 * memory that nobody needs, as it does for files that are mapped.
 */

import { closeSync, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { asFileError, FileError } from "../files.ts";
import { PIECE } from "./safetensors.ts";

/**
 * Reads so many numbers of 16 bits from a place in a file, anew with each call.
 *
 * @param position in bytes
 * @param known what the file was when its places were found
 * @returns what throws a FileError where the file cannot be read, or is another than it was
 */
export function halvesInFile(
  path: string,
  known: Pick<Stats, "ino" | "size" | "mtimeMs">,
  position: number,
  count: number,
): () => Uint16Array {
  const readAll = (file: number): Uint16Array => {
    const { ino, size, mtimeMs } = fstatSync(file);
    if (ino !== known.ino || size !== known.size || mtimeMs !== known.mtimeMs)
      throw new FileError(
        `${path}: was changed while weights were read from it. Leave it as it is while a model is in use, and start again`,
      );
    const halves = new Uint16Array(count);
    const { byteLength, buffer } = halves;
    for (let done = 0; done < byteLength; ) {
      const length = Math.min(PIECE, byteLength - done);
      // A read may return fewer than asked for.
      const read = readSync(file, new Uint8Array(buffer, done, length), 0, length, position + done);
      if (read === 0) throw new FileError(`${path}: ended ${byteLength - done} bytes too early`);
      done += read;
    }
    return halves;
  };
  return () => {
    try {
      const file = openSync(path, "r");
      try {
        return readAll(file);
      } finally {
        closeSync(file);
      }
    } catch (error) {
      throw asFileError("read", path, error);
    }
  };
}

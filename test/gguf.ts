/** @file A GGUF file with other keys: what converters of all ages write. */

import { openAsBlob } from "node:fs";
import { buildGgufHeader, GGUFValueType, gguf } from "@huggingface/gguf";

type Value = number | bigint | boolean | string;

/** The keys as they are stored. */
export type TypedKeys = Record<string, { type: GGUFValueType; subType?: GGUFValueType; value: unknown }>;

/** The file's bytes with keys added, replaced, or (undefined) removed; numbers are float32 where they are not whole. */
export function ggufWith(path: string, changes: Record<string, Value | undefined>): Promise<Buffer> {
  return ggufEdited(path, (keys) => {
    for (const [key, value] of Object.entries(changes)) {
      delete keys[key];
      if (value !== undefined) keys[key] = { value, type: typeOf(value) };
    }
  });
}

/** The file's bytes with its keys as they were edited. */
export async function ggufEdited(path: string, edit: (keys: TypedKeys) => void): Promise<Buffer> {
  const parsed = await gguf(path, { allowLocalFile: true, typedMetadata: true });
  const keys = { ...parsed.typedMetadata } as TypedKeys;
  edit(keys);
  const blob = await openAsBlob(path);
  const { littleEndian, tensorInfoByteRange } = parsed;
  const header = await buildGgufHeader(blob, keys as never, { littleEndian, tensorInfoByteRange });
  const data = blob.slice(Number(parsed.tensorDataOffset));
  return Buffer.concat([await header.bytes(), await data.bytes()]);
}

export function typeOf(value: Value): GGUFValueType {
  if (typeof value === "string") return GGUFValueType.STRING;
  if (typeof value === "boolean") return GGUFValueType.BOOL;
  if (typeof value === "bigint") return GGUFValueType.UINT64;
  return Number.isInteger(value) && value >= 0 && value < 2 ** 32
    ? GGUFValueType.UINT32
    : GGUFValueType.FLOAT32;
}

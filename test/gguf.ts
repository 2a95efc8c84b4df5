/** @file A GGUF file with other keys: what converters of all ages write. */

import { openAsBlob } from "node:fs";
import { buildGgufHeader, GGUFValueType, gguf } from "@huggingface/gguf";

/** The file's bytes with keys added, replaced, or (undefined) removed; numbers are float32 where they are not whole. */
export async function ggufWith(
  path: string,
  keys: Record<string, number | bigint | boolean | string | undefined>,
): Promise<Buffer> {
  const parsed = await gguf(path, { allowLocalFile: true, typedMetadata: true });
  const typed = { ...parsed.typedMetadata } as Record<string, unknown>;
  for (const [key, value] of Object.entries(keys)) {
    delete typed[key];
    if (value !== undefined) typed[key] = { value, type: typeOf(value) };
  }
  const blob = await openAsBlob(path);
  const { littleEndian, tensorInfoByteRange } = parsed;
  const header = await buildGgufHeader(blob, typed as never, { littleEndian, tensorInfoByteRange });
  const data = blob.slice(Number(parsed.tensorDataOffset));
  return Buffer.concat([await header.bytes(), await data.bytes()]);
}

function typeOf(value: number | bigint | boolean | string): GGUFValueType {
  if (typeof value === "string") return GGUFValueType.STRING;
  if (typeof value === "boolean") return GGUFValueType.BOOL;
  if (typeof value === "bigint") return GGUFValueType.UINT64;
  return Number.isInteger(value) ? GGUFValueType.UINT32 : GGUFValueType.FLOAT32;
}

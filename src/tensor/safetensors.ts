/** @file Tensors on disk in the safetensors format: https://github.com/huggingface/safetensors#format */

import { createHash } from "node:crypto";
import { writeWhole } from "../files.ts";
import { widenBrainHalves, widenHalves } from "./halves.ts";
import { NarrowTensor } from "./narrow.ts";
import { floats, ints, sizeOf, type Tensor } from "./types.ts";

/** What can be stored: float32, int32, the bits of halves, and booleans as bytes. */
export interface StorableTensor {
  shape: readonly number[];
  data: Float32Array | Int32Array | Uint16Array | Uint8Array;
}

/** What a file holds. Half-precision tensors were widened to float32. */
export interface SafetensorsFile {
  tensors: Record<string, Tensor>;
  metadata: Record<string, string>;
}

/** The format's own limit on its header, in bytes. */
export const maxHeaderLength = 100_000_000;

/** What is read; half-precision tensors are widened. */
const readable = ["F32", "I32", "F16", "BF16", "BOOL"] as const;
type StoredType = (typeof readable)[number];

/**
 * The bytes of a file with these tensors, as one piece. Equal contents give equal bytes: tensors are ordered by name.
 *
 * @throws Error where a tensor's data does not fill its shape.
 */
export function encodeSafetensors(
  tensors: Record<string, StorableTensor>,
  metadata: Record<string, string> = {},
): Uint8Array {
  const pieces = [...safetensorsPieces(tensors, metadata)];
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}

/** No system call and no checksum takes more than 2 GiB at once. */
export const PIECE = 2 ** 30;

/**
 * The same bytes piece by piece, none longer than `PIECE`: the header, then every tensor's where they lie, so that nothing
 * is held twice.
 */
export function* safetensorsPieces(
  tensors: Record<string, StorableTensor>,
  metadata: Record<string, string> = {},
): Generator<Uint8Array> {
  const names = Object.keys(tensors).sort();
  const described = names.map((name) => {
    const tensor = tensors[name]!;
    const { shape } = tensor;
    if (tensor instanceof NarrowTensor)
      return { name, dtype: "F32" as const, shape, length: 4 * sizeOf(shape) };
    const { data } = tensor;
    if (sizeOf(shape) !== data.length)
      throw new Error(
        `tensor ${name}: shape [${shape}] needs ${sizeOf(shape)} numbers, its data has ${data.length}`,
      );
    return { name, dtype: typeOf(data), shape, length: data.byteLength };
  });
  yield headerPiece(described, metadata);
  for (const name of names) yield* bytePieces(tensors[name]!.data);
}

function typeOf(data: StorableTensor["data"]): StoredType {
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Int32Array) return "I32";
  return data instanceof Uint16Array ? "F16" : "BOOL";
}

/** A float32 tensor that is fetched when it is its turn to be written. */
export interface FetchedTensor {
  shape: readonly number[];
  fetch(): Promise<Float32Array>;
}

/**
 * Writes tensors as `writeSafetensors` does, and fetches them one after the other, so that one at a time is in memory.
 *
 * @returns the SHA-256 of what was to be written
 * @throws FileError
 */
export async function writeFetched(
  path: string,
  tensors: Readonly<Record<string, FetchedTensor>>,
): Promise<string> {
  const hash = createHash("sha256");
  const names = Object.keys(tensors).sort();
  async function* pieces() {
    yield headerPiece(
      names.map((name) => {
        const { shape } = tensors[name]!;
        return { name, dtype: "F32", shape, length: 4 * sizeOf(shape) };
      }),
      {},
    );
    for (const name of names) yield* bytePieces(await tensors[name]!.fetch());
  }
  async function* hashed() {
    for await (const piece of pieces()) {
      hash.update(piece);
      yield piece;
    }
  }
  await writeWhole(path, hashed());
  return hash.digest("hex");
}

/** The header of tensors, in the order in which their bytes follow; `length` is in bytes. */
function headerPiece(
  tensors: readonly { name: string; dtype: StoredType; shape: readonly number[]; length: number }[],
  metadata: Record<string, string>,
): Uint8Array {
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) entries.push(["__metadata__", metadata]);
  let at = 0;
  for (const { name, dtype, shape, length } of tensors) {
    if (name === "__metadata__")
      throw new Error("a tensor cannot be called __metadata__: the format keeps that name");
    entries.push([name, { dtype, shape, data_offsets: [at, at + length] }]);
    at += length;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const headerLength = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + headerLength);
  new DataView(header.buffer).setBigUint64(0, BigInt(headerLength), true);
  header.fill(0x20, 8).set(json, 8);
  return header;
}

function* bytePieces({ buffer, byteOffset, byteLength }: StorableTensor["data"]): Generator<Uint8Array> {
  for (let done = 0; done < byteLength; done += PIECE)
    yield new Uint8Array(buffer, byteOffset + done, Math.min(PIECE, byteLength - done));
}

/** Describes the tensors of a header, and checks that they fill the data without a gap. */
export function readHeader(
  header: Record<string, unknown>,
  dataLength: number,
  source: string,
): { entries: Entry[]; metadata: Record<string, string> } {
  const { __metadata__: metadata = {}, ...described } = header;
  if (!isRecord(metadata) || Object.values(metadata).some((value) => typeof value !== "string"))
    throw damaged(source, "__metadata__ is not a table of texts");

  const entries = Object.entries(described).map(([name, entry]) => readEntry(name, entry, source));
  let end = 0;
  for (const { name, begin, end: next } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== end)
      throw damaged(source, `tensor ${name} starts at byte ${begin} of the data, expected ${end}`);
    end = next;
  }
  if (end !== dataLength)
    throw damaged(source, `its tensors take ${end} bytes, the file has ${dataLength} for them`);
  return { entries, metadata: metadata as Record<string, string> };
}

/** @throws Error where a tensor's element type is not read. */
export function checkReadable({ name, dtype }: Entry, source: string): void {
  if (!(readable as readonly string[]).includes(dtype))
    throw new Error(
      `${source}: tensor ${name} has dtype ${JSON.stringify(dtype)}; supported are ${readable.join(", ")}. Convert it to F32`,
    );
}

/** Writes a file that is whole at any moment (see `writeWhole`). @throws FileError */
export async function writeSafetensors(
  path: string,
  tensors: Record<string, StorableTensor>,
  metadata: Record<string, string> = {},
): Promise<void> {
  await writeWhole(path, safetensorsPieces(tensors, metadata));
}

/** The header's table. */
export function parseHeader(json: Uint8Array, source: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch {
    throw damaged(source, "its header is not JSON");
  }
  if (!isRecord(header)) throw damaged(source, "its header is not a table of tensors");
  return header;
}

/** A tensor of a file: its bytes are [begin, end) of what follows the header. */
export interface Entry {
  name: string;
  dtype: string;
  shape: number[];
  begin: number;
  end: number;
}

function readEntry(name: string, entry: unknown, source: string): Entry {
  if (!isRecord(entry)) throw damaged(source, `tensor ${name} is not described by a table`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string") throw damaged(source, `tensor ${name} has no dtype`);
  if (!isSizes(shape)) throw damaged(source, `the shape of tensor ${name} is not a list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!)
    throw damaged(source, `data_offsets of tensor ${name} are not two ascending byte positions`);
  const [begin, end] = offsets as [number, number];
  // Types that are not read may lie beside those that are; how large their elements are does not matter.
  const known = Object.hasOwn(bytesPerElement, dtype) ? bytesPerElement[dtype] : undefined;
  const expected = known === undefined ? end - begin : sizeOf(shape) * known;
  if (end - begin !== expected)
    throw damaged(
      source,
      `tensor ${name}, ${dtype}[${shape}], needs ${expected} bytes and has ${end - begin}`,
    );
  return { name, dtype, shape, begin, end };
}

const bytesPerElement: Record<string, number> = { F32: 4, I32: 4, F16: 2, BF16: 2, BOOL: 1 };

/** The tensor of some bytes, which it takes over. Hosts are taken to be little-endian. */
export function read(dtype: string, shape: number[], buffer: ArrayBuffer): Tensor {
  switch (dtype as StoredType) {
    case "F32":
      return floats(shape, new Float32Array(buffer));
    case "I32":
      return ints(shape, new Int32Array(buffer));
    case "F16":
      return floats(shape, widenHalves(new Uint16Array(buffer)));
    case "BF16":
      return floats(shape, widenBrainHalves(new Uint16Array(buffer)));
    case "BOOL":
      return { shape, dtype: "bool", data: new Uint8Array(buffer) };
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

export function damaged(source: string, what: string): Error {
  return new Error(`${source} is not a whole safetensors file: ${what}. Copy or make it again`);
}

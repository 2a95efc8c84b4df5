/** @file How batches of sampling are shaped. */

import { cacheHeads, isEmbedded, type ModelConfig } from "../model/index.ts";
import type { DevicesInfo } from "../tensor/index.ts";
import { DEFAULT_MEMORY_MB } from "./memory.ts";
import { powerOfTwo, roundUp } from "./programs.ts";

export interface Sizing {
  /** Fewest rows of a batch; others have that times a power of two. */
  minRows: number;
  /** Rows decoded together at most, for sequences of some length; more completions are sampled in turns. */
  maxRows(length: number): number;
  /** Room for so many positions in the cache. */
  cacheSize(length: number): number;
}

/** What decoding has to fit. */
export interface DecodingRoom {
  /** Megabytes: as for activations, which are not there while tokens are sampled. */
  memoryMB?: number | undefined;
  /** Rows are divided among them. */
  devices?: DevicesInfo | undefined;
}

/** The share of the memory that keys and values may take: while a cache grows to twice its positions, the old one is there, too. */
const FOR_CACHE = 1 / 2;

/** Rows beyond which sampling is no faster. */
const ENOUGH_ROWS = 256;

/** A program of the embedded model compiles in a moment and its cache is small; a checkpoint's is neither. */
export function sizingOf(
  config: ModelConfig,
  { memoryMB = DEFAULT_MEMORY_MB, devices: { count } = { count: 1, copies: 1 } }: DecodingRoom = {},
): Sizing {
  // Rows that the devices cannot be dealt are with each of them: they compute as much, and take as much of its memory.
  if (isEmbedded(config)) {
    const minRows = roundUp(16, count);
    const maxRows = Math.max(minRows, ENOUGH_ROWS);
    return { minRows, maxRows: () => maxRows, cacheSize: (length) => roundUp(length, 32) };
  }
  const { heads, headDim } = cacheHeads(config);
  const bytes = config.layers * heads * headDim * 2 * Float32Array.BYTES_PER_ELEMENT;
  const cacheSize = (length: number) => powerOfTwo(Math.max(64, length));
  const cacheBytes = memoryMB * 2 ** 20 * FOR_CACHE;
  const ofDevice = (length: number) =>
    Math.min(ENOUGH_ROWS, cacheBytes / (bytes * cacheSize(length))) / count;
  return {
    minRows: count,
    maxRows: (length) => count * 2 ** Math.floor(Math.log2(Math.max(1, ofDevice(length)))),
    cacheSize,
  };
}

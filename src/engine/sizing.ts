/** @file How batches of sampling are shaped. */

import { cacheHeads, isEmbedded, type ModelConfig } from "../model/index.ts";
import { powerOfTwo, roundUp } from "./programs.ts";

export interface Sizing {
  /** Fewest rows of a batch. */
  minRows: number;
  /** Rows decoded together at most, for sequences of some length; more completions are sampled in turns. */
  maxRows(length: number): number;
  /** Room for so many positions in the cache. */
  cacheSize(length: number): number;
}

/** Bytes that the cache of keys and values may take. */
const CACHE_BYTES = 2 ** 30;

/** A program of the embedded model compiles in a moment and its cache is small; a checkpoint's is neither. */
export function sizingOf(config: ModelConfig): Sizing {
  if (isEmbedded(config))
    return { minRows: 16, maxRows: () => 256, cacheSize: (length) => roundUp(length, 32) };
  const { heads, headDim } = cacheHeads(config);
  const bytes = config.layers * heads * headDim * 2 * Float32Array.BYTES_PER_ELEMENT;
  const cacheSize = (length: number) => powerOfTwo(Math.max(64, length));
  const fitting = (length: number) => Math.floor(CACHE_BYTES / (bytes * cacheSize(length)));
  return {
    minRows: 1,
    maxRows: (length) => Math.max(1, Math.min(256, 2 ** Math.floor(Math.log2(Math.max(1, fitting(length)))))),
    cacheSize,
  };
}

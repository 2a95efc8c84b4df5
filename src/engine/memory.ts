/** @file How many sequences are run through a model at a time, so that memory stays within a budget. */

import { isEmbedded, type ModelConfig, vocabularySize } from "../model/index.ts";

/** Megabytes that the activations of one batch may take unless told otherwise. */
export const DEFAULT_MEMORY_MB = 2048;

/**
 * Tokens beyond which a batch is no faster. For the embedded model: enough to run at full speed, few enough for the
 * working set to stay in the caches. Checkpoints' matrices are at full speed with fewer.
 */
const ENOUGH = { embedded: 1024, checkpoint: 256 };

/**
 * Bytes that training an adapter needs for each token of a sequence of length T, beside weights and gradients: what the
 * backward pass keeps of every layer, and distributions over the vocabulary. The factors were measured on
 * SmolLM2-135M (4.9 MB per token at T = 64, 5.7 at 256, 6.7 at 512); scoring needs less.
 */
export function bytesPerToken(config: ModelConfig, T: number): number {
  const { layers, heads, width, hidden } = config;
  const perLayer = 20 * width + 9 * hidden + 4 * heads * T;
  return Float32Array.BYTES_PER_ELEMENT * (layers * perLayer + 8 * vocabularySize(config));
}

/** Rows of length T that fit the memory and make a batch of full speed; one at least. */
export function rowsWithin(config: ModelConfig, T: number, memoryMB = DEFAULT_MEMORY_MB): number {
  const fitting = (memoryMB * 2 ** 20) / bytesPerToken(config, T);
  return Math.max(
    1,
    Math.floor(Math.min(isEmbedded(config) ? ENOUGH.embedded : ENOUGH.checkpoint, fitting) / T),
  );
}

/** @file How many sequences are run through a model at a time, so that memory stays within a budget. */

import { isEmbedded, type ModelConfig, vocabularySize } from "../model/index.ts";
import type { RuntimeInfo } from "../tensor/index.ts";
import { powerOfTwo } from "./programs.ts";

/** Megabytes that the activations of one batch may take unless told otherwise, where it is not known how much there is. */
export const DEFAULT_MEMORY_MB = 2048;

/** Bytes of a trained number beside its use: itself, its gradient and two moments, in float32. */
const BYTES_OF_TRAINED = 16;

/**
 * Bytes that weights take in all, where operands are kept as they are given, with gradients and moments of what is trained.
 *
 * @param numbers of the model's weights, and those that are trained
 */
export function keptBytes(
  operands: "float32" | "bfloat16" | undefined,
  { weights, trained }: { weights: number; trained: number },
): number {
  return weights * (operands === "bfloat16" ? 2 : 4) + trained * BYTES_OF_TRAINED;
}

/**
 * The default: of memory that is known, half of what weights, gradients and moments leave.
 *
 * @param numbers of the model's weights, and those that are trained
 */
export function memoryFor(
  { devices, operands }: Pick<RuntimeInfo, "devices" | "operands">,
  { weights, trained }: { weights: number; trained: number },
): number {
  if (devices?.memory === undefined) return DEFAULT_MEMORY_MB;
  const left = devices.memory - devices.copies * keptBytes(operands, { weights, trained });
  return Math.max(DEFAULT_MEMORY_MB, Math.floor(left / 2 / 2 ** 20));
}

/** What batches have to fit. */
export interface Room {
  /** Megabytes that the activations of one batch may take. Default `DEFAULT_MEMORY_MB`; an engine's is `memoryFor`. */
  memoryMB?: number | undefined;
  /** Sequences of a batch, at most: programs for fewer rows are faster where there are only a few. */
  rows?: number | undefined;
  /** What computes, and how many devices: the rows of a batch are dealt to them. */
  platform?: RuntimeInfo["platform"];
  devices?: number;
  /** Groups of devices that hold all weights each: logits are divided among a group's devices, and there in each. */
  copies?: number;
}

/**
 * Tokens beyond which a batch is no faster: enough to run at full speed. A processor's caches hold fewer of a wide model. What an
 * accelerator does for a token of one grows with the square of its width: its units, which wait for work in small batches, have
 * enough in fewer tokens, and those take less of its memory.
 */
function enough({ width }: ModelConfig, platform: Room["platform"]): number {
  const [least, most, wanted] =
    platform === "gpu" || platform === "tpu"
      ? [2048, 8192, 2 ** 37 / width ** 2]
      : [256, 1024, 2 ** 17 / width];
  return Math.min(most, Math.max(least, 2 ** Math.floor(Math.log2(wanted))));
}

/** The share of the memory that the output's logits may take; activations have the rest. */
const FOR_LOGITS = 1 / 4;

/**
 * Bytes that training an adapter needs for each token of a sequence of length T, beside weights, gradients and logits: what is
 * kept of every layer, or the streams between them, and what one layer computes. Counted in the programs of a Llama's layer
 * (kept: 3 hidden, 3 width, the keys and values, 2 heads x T, and the adapter's), with a little room.
 */
function bytesPerToken(config: ModelConfig, T: number, keeps: boolean): number {
  const { layers, heads, width } = config;
  const experts = isEmbedded(config) ? undefined : config.experts;
  // All experts compute, and what each gives is kept to be weighted.
  const hidden = experts ? experts.count * (config.hidden + width) : config.hidden;
  const inLayer = 20 * width + 9 * hidden + 4 * heads * T;
  const ofLayer = keeps ? 6 * width + 4 * hidden + 3 * heads * T : width;
  return Float32Array.BYTES_PER_ELEMENT * (layers * ofLayer + inLayer);
}

/** The room that there is where a runtime computes. */
export function roomOn({ platform, devices }: RuntimeInfo, room: Room): Room {
  return { ...room, platform, devices: devices?.count ?? 1, copies: devices?.copies ?? 1 };
}

/** How a batch is run: its rows, and whether what layers computed is kept for the backward pass, or computed again. */
export interface Fitting {
  /** Tokens of a batch, and rows of them: as many for each device, one at least. */
  tokens: number;
  rows: number;
  keeps: boolean;
}

/** Megabytes for activations, without those for logits, as bytes. */
const roomOf = ({ memoryMB = DEFAULT_MEMORY_MB }: Room) => memoryMB * 2 ** 20 * (1 - FOR_LOGITS);

/** Does the memory hold a row of length T for each device, with what its layers computed where it would hold that of a shorter one? */
export function holds(config: ModelConfig, T: number, room: Room = {}): boolean {
  return roomOf(room) >= (room.devices ?? 1) * T * bytesPerToken(config, T, true);
}

/** Rows of length T that fit the memory and make a batch of full speed; one at least for each device. */
export function fitting(
  config: ModelConfig,
  T: number,
  { rows: atMost = Infinity, platform, devices = 1, ...given }: Room = {},
): Fitting {
  const most = devices * enough(config, platform);
  const room = roomOf(given);
  const within = (keeps: boolean) => Math.min(most, room / bytesPerToken(config, T, keeps));
  // Computing again costs a forward pass, which is less than what batches of a few tokens cost.
  const keeps = isEmbedded(config) || within(true) >= Math.max(most / 8, Math.min(devices * T, most));
  const tokens = Math.max(devices * T, Math.floor(Math.min(within(keeps), atMost * T)));
  return { keeps, tokens, rows: devices * Math.floor(tokens / (devices * T)) };
}

/** So many of some positions are given logits at a time. A power of two. */
export function placesAtOnce(
  config: ModelConfig,
  count: number,
  { memoryMB = DEFAULT_MEMORY_MB, copies = 1 }: Room = {},
): number {
  // Logits, their exponentials, their differences and their gradient.
  const bytes = copies * 4 * Float32Array.BYTES_PER_ELEMENT * vocabularySize(config);
  const fit = (memoryMB * 2 ** 20 * FOR_LOGITS) / bytes;
  return Math.min(powerOfTwo(Math.max(1, count)), 2 ** Math.floor(Math.log2(Math.max(1, fit))));
}

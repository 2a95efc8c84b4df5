/** @file Models of llama2.c (https://github.com/karpathy/llama2.c): one file of weights, one of pieces. */

import { readFile } from "node:fs/promises";
import { withFile } from "../files.ts";
import { floats } from "../tensor/index.ts";

import type { DecoderConfig } from "./config.ts";
import { checkFinite } from "./fit.ts";
import { pairHalves } from "./interleaved.ts";
import { rotary } from "./rotary.ts";
import { sentencePieceTokenizer } from "./sentencepiece.ts";
import { decoderShapes } from "./shapes.ts";
import type { LoadedModel, Weights } from "./types.ts";

/** In these models a sequence begins with token 1, and so ends where the next one would begin. */
const BEGIN = 1;
const ENDS = [1, 2];
/** Numbers in a file's header. */
const HEADER = 7;

/**
 * @param path weights in the first version of the format ("version 0")
 * @param tokenizerPath the vocabulary beside it, such as `tok512.bin`
 * @throws Error naming the file that cannot be read, or whose size is not what its header says.
 */
export async function loadLlama2c(path: string, tokenizerPath: string): Promise<LoadedModel> {
  const bytes = await withFile("read", path, () => readFile(path));
  if (bytes.length < HEADER * 4)
    throw new Error(
      `${path}: has ${bytes.length} bytes, fewer than its header; it is damaged or no model of llama2.c`,
    );
  const numbers = new Float32Array(new Uint8Array(bytes).buffer, 0, Math.floor(bytes.length / 4));
  const [width, hidden, layers, heads, keyValueHeads, signedVocabulary, context] = new Int32Array(
    numbers.buffer,
    0,
    HEADER,
  ) as unknown as [number, number, number, number, number, number, number];
  const sizes = [width, hidden, layers, heads, keyValueHeads, Math.abs(signedVocabulary), context];
  const refuse = (): never => {
    throw new Error(`${path}: its size does not fit its header; it is damaged or no model of llama2.c`);
  };
  // No size is larger than the file: what is made of them stays small until the total is checked.
  if (sizes.some((size) => !(size > 0 && size <= numbers.length))) refuse();
  if (width % heads !== 0 || heads % keyValueHeads !== 0 || (width / heads) % 2 !== 0) refuse();
  const headDim = width / heads;
  const config: DecoderConfig = {
    architecture: "llama",
    vocabulary: Math.abs(signedVocabulary),
    ...{ context, layers, heads, keyValueHeads, headDim, width, hidden },
    norm: { kind: "rms", epsilon: 1e-5 },
    rotary: rotary(headDim, context, { rope_type: "default", rope_theta: 10000 }, path),
    mlp: "gated-silu",
    // A negative number of tokens says that the output matrix is stored on its own.
    tied: signedVocabulary > 0,
    biases: { queryKeyValue: false, attentionOut: false, mlp: false },
    queryKeyNorm: false,
    endTokens: ENDS,
  };
  if (HEADER + parameters(config) + context * headDim !== numbers.length) refuse();
  const shapes = decoderShapes(config);
  const weights: Weights = {};
  let offset = HEADER;
  const take = (name: string) => {
    const shape = shapes[name]!;
    const size = shape.reduce((product, length) => product * length, 1);
    const data = numbers.slice(offset, offset + size);
    offset += size;
    const pairs = { q_proj: heads, k_proj: keyValueHeads }[name.split(".").at(-2)!];
    weights[name] = floats(shape, pairs === undefined ? data : pairHalves(data, pairs, headDim));
  };
  const perLayer = (part: string) => {
    for (let layer = 0; layer < layers; layer++) take(`model.layers.${layer}.${part}.weight`);
  };
  take("model.embed_tokens.weight");
  perLayer("input_layernorm");
  for (const part of ["q_proj", "k_proj", "v_proj", "o_proj"]) perLayer(`self_attn.${part}`);
  perLayer("post_attention_layernorm");
  for (const part of ["gate_proj", "down_proj", "up_proj"]) perLayer(`mlp.${part}`);
  take("model.norm.weight");
  // Tables of sines and cosines, which are computed when they are needed.
  offset += context * headDim;
  if (!config.tied) take("lm_head.weight");
  checkFinite(weights, () => path);
  const file = await withFile("read", tokenizerPath, () => readFile(tokenizerPath));
  const tokenizer = sentencePieceTokenizer({
    ...readPieces(file, config.vocabulary, tokenizerPath),
    ...{ begin: [BEGIN], ends: ENDS, endOfText: BEGIN, added: [], spaceFirst: true, render: undefined },
    ...{ vocabulary: config.vocabulary, path: tokenizerPath },
  });
  return { config, weights, tokenizer };
}

/** Number of weights, from the sizes alone. */
function parameters(config: DecoderConfig): number {
  const { width: D, hidden: F, layers, vocabulary: V, heads, keyValueHeads, headDim } = config;
  const perLayer = 2 * D + 2 * D * heads * headDim + 2 * D * keyValueHeads * headDim + 3 * D * F;
  return (config.tied ? 1 : 2) * V * D + layers * perLayer + D;
}

/** A number of pieces, each a float32 score, an int32 length and so many bytes, after one int32. */
function readPieces(bytes: Buffer, count: number, path: string): { pieces: string[]; scores: number[] } {
  const pieces: string[] = [];
  const scores: number[] = [];
  let offset = 4;
  for (let i = 0; i < count; i++) {
    const length = offset + 8 <= bytes.length ? bytes.readInt32LE(offset + 4) : -1;
    if (length < 0 || offset + 8 + length > bytes.length)
      throw new Error(`${path}: ends after ${i} of ${count} pieces; it is not this model's tokenizer`);
    scores.push(bytes.readFloatLE(offset));
    pieces.push(bytes.toString("utf8", offset + 8, offset + 8 + length));
    offset += 8 + length;
  }
  return { pieces, scores };
}

/** @file The embedded model as a decoder of the checkpoints' kind, which takes adapters. */

import { floats } from "../tensor/index.ts";
import { type DecoderConfig, isEmbedded, vocabularySize } from "./config.ts";
import { decoderShapes } from "./shapes.ts";
import type { LoadedModel, Weights } from "./types.ts";

/** Our names of a layer's matrices, by Llama's. */
const MATRICES = {
  "self_attn.q_proj": "attn.W_Q",
  "self_attn.k_proj": "attn.W_K",
  "self_attn.v_proj": "attn.W_V",
  "self_attn.o_proj": "attn.W_O",
  "mlp.up_proj": "mlp.W_in",
  "mlp.down_proj": "mlp.W_out",
};

/** A model that takes adapters: itself, or, of the embedded one, the same function as a decoder's program and weights. */
export function takingAdapters(model: LoadedModel): LoadedModel {
  const { config: own, weights: from } = model;
  if (!isEmbedded(own)) return model;
  const { context, layers, heads, width, hidden } = own;
  const config: DecoderConfig = {
    architecture: "llama",
    vocabulary: vocabularySize(own),
    ...{ context, layers, heads, width, hidden },
    ...{ keyValueHeads: heads, headDim: width / heads },
    norm: { kind: "rms", epsilon: 1e-5 },
    rotary: null,
    mlp: "squared-relu",
    tied: true,
    biases: { queryKeyValue: false, attentionOut: false, mlp: false },
    queryKeyNorm: false,
    endTokens: [0],
  };
  const named = ([name, shape]: [string, number[]]): [string, Weights[string]] => {
    if (name === "model.embed_tokens.weight") return [name, from["embed.W_E"]!];
    if (name === "model.embed_positions.weight") return [name, from["pos_embed.W_pos"]!];
    const [, layer, path] = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(name) ?? [];
    const matrix = MATRICES[path as keyof typeof MATRICES];
    // Its norms have no weights.
    if (matrix === undefined) return [name, { ...floats(shape), data: new Float32Array(shape[0]!).fill(1) }];
    return [name, transposed(from[`blocks.${layer}.${matrix}`]!)];
  };
  const weights = Object.fromEntries(Object.entries(decoderShapes(config)).map(named));
  return { ...model, config, weights };
}

function transposed({ shape, data }: Weights[string]): Weights[string] {
  const [M, N] = shape as [number, number];
  const turned = floats([N, M]);
  for (let m = 0; m < M; m++) for (let n = 0; n < N; n++) turned.data[n * M + m] = data[m * N + n]!;
  return turned;
}

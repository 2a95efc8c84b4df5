/** @file The tensors of a GGUF file under Llama's names. */

import { open } from "node:fs/promises";
import { type GGUFTensorInfo, gguf } from "@huggingface/gguf";
import { withFile } from "../../files.ts";
import { bytesAt, floats, type TensorSource } from "../../tensor/index.ts";
import { byHead, pairHalves } from "../interleaved.ts";
import { type GgufFamily, ggufFamilies } from "./families.ts";
import { elementTypes } from "./quantized.ts";

/** What a file says of itself: keys and values, as they are stored. */
export type GgufMetadata = Record<string, unknown>;

export interface GgufFile extends TensorSource {
  metadata: GgufMetadata;
}

const partNames: Record<string, string> = {
  attn_norm: "input_layernorm",
  ffn_norm: "post_attention_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

const otherNames: Record<string, string> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output_norm.bias": "model.norm.bias",
  "output.weight": "lm_head.weight",
};

function nameOf(stored: string, parts: GgufFamily["parts"]): string {
  const [, layer, part, kind] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(stored) ?? [];
  const known = part === undefined ? undefined : (parts[part] ?? partNames[part]);
  return known ? `model.layers.${layer}.${known}.${kind}` : (otherNames[stored] ?? stored);
}

/** @throws Error naming the file, where it is not a whole GGUF file or a tensor's type is not supported. */
export async function openGguf(path: string): Promise<GgufFile> {
  const file = await withFile("read", path, () => open(path));
  try {
    const { size } = await file.stat();
    const parsed = await gguf(path, { allowLocalFile: true }).catch((error: Error) => {
      throw new Error(`${path} is not a whole GGUF file: ${error.message}. Copy or make it again`);
    });
    if (!parsed.littleEndian) throw new Error(`${path}: is big-endian, which is not supported`);
    const metadata = parsed.metadata as unknown as GgufMetadata;
    const family = ggufFamilies[String(metadata["general.architecture"])];
    const infos = new Map<string, GGUFTensorInfo>();
    const shapes: Record<string, number[]> = {};
    const alignment = Number(metadata["general.alignment"] ?? 32);
    let expected = 0;
    for (const info of parsed.tensorInfos) {
      const name = nameOf(info.name, family?.parts ?? {});
      if (infos.has(name)) throw new Error(`${path}: has two tensors ${info.name}`);
      infos.set(name, info);
      // GGUF names the fastest axis first.
      shapes[name] = info.shape.map(Number).reverse();
      const type = elementTypes[info.dtype];
      if (type === undefined)
        throw new Error(
          `${path}: tensor ${info.name} has GGUF's element type ${info.dtype}; supported are ${supported()}`,
        );
      if (shapes[name]!.at(-1)! % type.elements !== 0)
        throw new Error(
          `${path}: tensor ${info.name} has rows of ${shapes[name]!.at(-1)}; ${type.name} stores ${type.elements} together`,
        );
      // One behind the other, as everything that writes such files has them.
      if (Number(info.offset) !== expected)
        throw new Error(
          `${path}: tensor ${info.name} lies at ${info.offset} of the data, ${expected} is expected`,
        );
      const bytes = bytesOf(shapes[name]!, type);
      expected += Math.ceil(bytes / alignment) * alignment;
      const end = Number(parsed.tensorDataOffset + info.offset) + bytes;
      if (end > size) throw new Error(`${path} is not a whole GGUF file: it ends within tensor ${info.name}`);
    }
    const architecture = metadata["general.architecture"];
    const heads = (key: string) => Number(metadata[`${architecture}.attention.${key}`]);
    const pairedHeads: Record<string, number | undefined> = {
      q_proj: heads("head_count"),
      k_proj: heads("head_count_kv") || heads("head_count"),
    };
    return {
      metadata,
      shapes,
      async read(name) {
        const info = infos.get(name);
        if (info === undefined) throw new Error(`${path}: lacks the tensor ${name}`);
        const shape = shapes[name]!;
        const type = elementTypes[info.dtype]!;
        const offset = Number(parsed.tensorDataOffset + info.offset);
        const tensor = floats(shape);
        type.unpack(await bytesAt(file, path, offset, bytesOf(shape, type)), tensor.data);
        const module = name.split(".").at(-2) ?? "";
        const paired = family?.pairsNeighbours && pairedHeads[module];
        if (paired) return floats(shape, pairHalves(tensor.data, paired, shape[0]! / paired));
        const isByPart = family?.architecture === "gpt_neox" && module === "qkv_proj";
        return isByPart ? floats(shape, byHead(tensor.data, heads("head_count"))) : tensor;
      },
      fileOf: () => path,
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function bytesOf(shape: readonly number[], { elements, bytes }: { elements: number; bytes: number }): number {
  return (shape.reduce((product, size) => product * size, 1) / elements) * bytes;
}

function supported(): string {
  return Object.entries(elementTypes)
    .map(([code, { name }]) => `${code} (${name})`)
    .join(", ");
}

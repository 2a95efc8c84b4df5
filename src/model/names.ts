/** @file What files call the parts of a model: weights have Llama's names here, and most families' files have them too. */

import type { Architecture } from "./config.ts";

/** The names of a family's files for Llama's; a part that is not listed has Llama's name. */
interface FileNames {
  /** What is put before the number of a layer. */
  layers: string;
  inLayer: Readonly<Record<string, string>>;
  others: Readonly<Record<string, string>>;
}

const files: Partial<Record<Architecture, FileNames>> = {
  gpt2: {
    layers: "transformer.h",
    inLayer: {
      input_layernorm: "ln_1",
      post_attention_layernorm: "ln_2",
      "self_attn.qkv_proj": "attn.c_attn",
      "self_attn.o_proj": "attn.c_proj",
      "mlp.up_proj": "mlp.c_fc",
      "mlp.down_proj": "mlp.c_proj",
    },
    others: {
      "model.embed_tokens": "transformer.wte",
      "model.embed_positions": "transformer.wpe",
      "model.norm": "transformer.ln_f",
    },
  },
  gpt_neox: {
    layers: "gpt_neox.layers",
    inLayer: {
      "self_attn.qkv_proj": "attention.query_key_value",
      "self_attn.o_proj": "attention.dense",
      "mlp.up_proj": "mlp.dense_h_to_4h",
      "mlp.down_proj": "mlp.dense_4h_to_h",
    },
    others: {
      "model.embed_tokens": "gpt_neox.embed_in",
      "model.norm": "gpt_neox.final_layer_norm",
      lm_head: "embed_out",
    },
  },
};

/** What a family's files call a module, or a tensor of one, of a name here. */
export function nameInFiles(architecture: Architecture, name: string): string {
  const names = files[architecture];
  if (names === undefined) return name;
  const [, layer, part] = /^model\.layers\.(\d+)\.(.*)$/.exec(name) ?? [];
  return part === undefined
    ? renamed(name, names.others)
    : `${names.layers}.${layer}.${renamed(part, names.inLayer)}`;
}

/** A name with its beginning, up to a point, replaced. */
function renamed(name: string, names: Readonly<Record<string, string>>): string {
  const found = Object.keys(names).find((key) => name === key || name.startsWith(`${key}.`));
  return found === undefined ? name : names[found] + name.slice(found.length);
}

/** @file GPT-2's tensors under Llama's names: its matrices lie transposed, and queries, keys and values in one. */

import { floats, type TensorSource } from "../../tensor/index.ts";

/** Names of a layer's parts in Llama for those in GPT-2; joined matrices have several. */
const parts: Record<string, string[]> = {
  ln_1: ["input_layernorm"],
  ln_2: ["post_attention_layernorm"],
  "attn.c_attn": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
  "attn.c_proj": ["self_attn.o_proj"],
  "mlp.c_fc": ["mlp.up_proj"],
  "mlp.c_proj": ["mlp.down_proj"],
};

const others: Record<string, string> = {
  wte: "model.embed_tokens",
  wpe: "model.embed_positions",
  ln_f: "model.norm",
};

/** The source with Llama's names and layouts. Tensors that are not GPT-2's keep their names. */
export function gpt2Source(source: TensorSource): TensorSource {
  const shapes: Record<string, readonly number[]> = {};
  const readers = new Map<string, { stored: string; read: () => ReturnType<TensorSource["read"]> }>();
  for (const [stored, shape] of Object.entries(source.shapes)) {
    const add = (name: string, shape: readonly number[], read: () => ReturnType<TensorSource["read"]>) => {
      shapes[name] = shape;
      readers.set(name, { stored, read });
    };
    // GPT-2's first files have names without the leading `transformer.`.
    const name = stored.replace(/^transformer\./, "");
    const [, layer, part, kind] = /^h\.(\d+)\.(.*)\.(weight|bias)$/.exec(name) ?? [];
    const names = part === undefined ? undefined : parts[part];
    if (names === undefined) {
      const [, stem, suffix] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
      const known = stem === undefined ? undefined : others[stem];
      add(known ? `${known}.${suffix}` : name, shape, () => source.read(stored));
      continue;
    }
    const columns = shape.at(-1)!;
    const size = columns / names.length;
    names.forEach((target, i) => {
      const ours = shape.length === 2 ? [size, shape[0]!] : [size];
      add(`model.layers.${layer}.${target}.${kind}`, ours, async () => {
        const data = (await source.read(stored)).data as Float32Array;
        return floats(ours, transposedColumns(data, columns, i * size, size));
      });
    });
  }
  return {
    shapes,
    read: (name) => readers.get(name)!.read(),
    fileOf: (name) => source.fileOf(readers.get(name)!.stored),
    close: () => source.close(),
  };
}

/** Some columns of a matrix [.., columns] as rows. */
function transposedColumns(data: Float32Array, columns: number, first: number, count: number): Float32Array {
  const rows = data.length / columns;
  const result = new Float32Array(count * rows);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < count; column++)
      result[column * rows + row] = data[row * columns + first + column]!;
  return result;
}

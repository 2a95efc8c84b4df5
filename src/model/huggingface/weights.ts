/** @file Weights of a Hugging Face checkpoint: one safetensors file, or shards with an index. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { openSafetensors, type TensorSource } from "../../tensor/index.ts";
import type { DecoderConfig } from "../config.ts";
import { decoderShapes } from "../decoder.ts";
import type { Weights } from "../transformer.ts";
import { gpt2Source } from "./gpt2.ts";

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/** Tensors that files hold beside weights: tables that are computed. */
const COMPUTED = /rotary_emb\.inv_freq$|^h\.\d+\.attn\.(masked_)?bias$/;

/** @throws Error naming the file and the tensor that is missing, of another shape or unknown. */
export async function loadDecoderWeights(folder: string, config: DecoderConfig): Promise<Weights> {
  const source = await openCheckpoint(folder);
  try {
    return await readWeights(config.architecture === "gpt2" ? gpt2Source(source) : source, config, folder);
  } finally {
    await source.close();
  }
}

/** Reads the weights of a configuration, one after the other, from a source with Llama's names. */
export async function readWeights(
  source: TensorSource,
  config: DecoderConfig,
  where: string,
): Promise<Weights> {
  const shapes = decoderShapes(config);
  const surplus = Object.keys(source.shapes).filter(
    (name) => !(name in shapes) && !COMPUTED.test(name) && !(config.tied && name === "lm_head.weight"),
  );
  if (surplus.length > 0)
    throw new Error(
      `${where}: has tensors that its configuration has no place for: ${surplus.slice(0, 8).join(", ")}`,
    );
  const weights: Weights = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const stored = source.shapes[name];
    if (stored === undefined) throw new Error(`${where}: lacks the tensor ${name} [${shape}]`);
    if (stored.join() !== shape.join())
      throw new Error(`${where}: ${name} has shape [${stored}]; its configuration wants [${shape}]`);
    const { data } = await source.read(name);
    if (!(data instanceof Float32Array))
      throw new Error(`${where}: ${name} holds integers; weights are floating-point numbers`);
    weights[name] = { shape, dtype: "float32", data };
  }
  return weights;
}

/** All files of a folder as one source. */
async function openCheckpoint(folder: string): Promise<TensorSource> {
  const indexPath = join(folder, "model.safetensors.index.json");
  const text = await readFile(indexPath, "utf8").catch(() => null);
  if (text === null) return openSafetensors(join(folder, "model.safetensors"));
  const parsed = indexSchema.safeParse(JSON.parse(text));
  if (!parsed.success) throw new Error(`${indexPath}: ${z.prettifyError(parsed.error)}`);
  const { weight_map: fileOf } = parsed.data;
  const files = new Map<string, TensorSource>();
  const close = async () => {
    for (const file of files.values()) await file.close();
  };
  try {
    for (const name of new Set(Object.values(fileOf))) {
      // Shards lie beside their index.
      if (/[\\/]/.test(name))
        throw new Error(`${indexPath}: the file ${JSON.stringify(name)} is not in its folder`);
      files.set(name, await openSafetensors(join(folder, name)));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    shapes: Object.assign({}, ...[...files.values()].map(({ shapes }) => shapes)),
    read: (name) => files.get(fileOf[name]!)!.read(name),
    close,
  };
}

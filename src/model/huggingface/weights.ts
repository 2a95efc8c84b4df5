/** @file Weights of a Hugging Face checkpoint: one safetensors file, or shards with an index. */

import { stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { readText } from "../../files.ts";
import { foreignTable, parseForeignJson } from "../../foreign.ts";
import { BrainTensor, openSafetensors, type Tensor, type TensorSource } from "../../tensor/index.ts";
import type { DecoderConfig } from "../config.ts";
import { checkLayers, fittingWeights, type Keeping } from "../fit.ts";
import { decoderShapes } from "../shapes.ts";
import type { Weights } from "../types.ts";
import { familySource } from "./source.ts";

const indexSchema = foreignTable({
  read: { weight_map: z.record(z.string(), z.string()) },
  harmless: ["metadata"],
});

/** Tensors that files hold beside weights: tables that are computed. */
const COMPUTED =
  /rotary_emb\.inv_freq$|^(transformer\.)?h\.\d+\.attn\.(masked_)?bias$|\.attention\.(masked_)?bias$/;

/** @throws Error naming the file and the tensor that is missing, of another shape, unknown or not finite. */
export async function loadDecoderWeights(
  folder: string,
  config: DecoderConfig,
  kept?: Keeping,
): Promise<Weights> {
  const source = await openCheckpoint(folder);
  try {
    checkLayers(config.layers, source, folder);
    return await readWeights(familySource(source, config), config, folder, kept);
  } finally {
    await source.close();
  }
}

/** Reads the weights of a configuration from a source with Llama's names. */
export async function readWeights(
  source: TensorSource,
  config: DecoderConfig,
  where: string,
  kept?: Keeping,
): Promise<Weights> {
  checkLayers(config.layers, source, where);
  const shapes = decoderShapes(config);
  const isTied = (name: string) => config.tied && name === OUTPUT;
  const passed = (name: string) => COMPUTED.test(name) || isTied(name);
  const weights = await fittingWeights(source, shapes, where, { passed, kept });
  if (config.tied && OUTPUT in source.shapes) {
    const [output, embedding] = [await source.read(OUTPUT, "narrow"), await source.read(EMBEDDING, "narrow")];
    if (!sameNumbers(output, embedding))
      throw new Error(
        `${source.fileOf(OUTPUT)}: ${OUTPUT} is not ${EMBEDDING}, and the configuration says that they are one; say tie_word_embeddings: false, or remove the one that is wrong`,
      );
  }
  return weights;
}

const EMBEDDING = "model.embed_tokens.weight";
const OUTPUT = "lm_head.weight";

function sameNumbers(one: Tensor, other: Tensor): boolean {
  const bits = one instanceof BrainTensor && other instanceof BrainTensor;
  const [a, b] = bits ? [one.halves, other.halves] : [one.data, other.data];
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * All files of a folder as one source: `model.safetensors`, or the shards that an index names.
 *
 * @throws Error where there are both (one of them is of another time), or a shard and its index do not agree
 */
async function openCheckpoint(folder: string): Promise<TensorSource> {
  const indexPath = join(folder, "model.safetensors.index.json");
  const wholePath = join(folder, "model.safetensors");
  const text = await readText(indexPath);
  if (text === undefined) return openSafetensors(wholePath);
  if (await stat(wholePath).catch(() => null))
    throw new Error(
      `${folder}: has ${basename(wholePath)} and ${basename(indexPath)}, and only one of them can be the model's weights: remove the index and its shards, or ${basename(wholePath)}`,
    );
  const { weight_map: shardOf } = parseForeignJson(indexSchema, text, indexPath);
  const files = new Map<string, TensorSource>();
  const close = async () => {
    for (const file of files.values()) await file.close();
  };
  /** By what the shards hold: an index may leave tensors out. */
  const holders = new Map<string, TensorSource>();
  try {
    for (const name of new Set(Object.values(shardOf))) {
      // Shards lie beside their index.
      if (/[\\/]/.test(name))
        throw new Error(`${indexPath}: the file ${JSON.stringify(name)} is not in its folder`);
      const file = await openSafetensors(join(folder, name));
      files.set(name, file);
      for (const tensor of Object.keys(file.shapes)) {
        const other = holders.get(tensor);
        if (other)
          throw new Error(
            `${indexPath}: two shards hold ${tensor}, ${other.fileOf(tensor)} and ${file.fileOf(tensor)}; remove the one that is wrong`,
          );
        holders.set(tensor, file);
      }
    }
    for (const [tensor, name] of Object.entries(shardOf))
      if (holders.get(tensor) !== files.get(name))
        throw new Error(`${indexPath}: says that ${name} holds ${tensor}, and it does not; copy both again`);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    shapes: Object.fromEntries([...holders].map(([name, file]) => [name, file.shapes[name]!])),
    read: (name, as) => holders.get(name)!.read(name, as),
    fileOf: (name) => holders.get(name)!.fileOf(name),
    close,
  };
}

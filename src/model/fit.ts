/** @file The tensors of files as the weights of a configuration: none lacks, none is over, all have their shapes and are finite. */

import { allFinite, type TensorSource } from "../tensor/index.ts";
import type { Weights } from "./types.ts";

/** How many tensors a message names. */
const NAMED = 8;

/**
 * Reads the tensors of the shapes that are wanted, one after the other.
 *
 * @param where what they are read from, for error messages
 * @param passed which other tensors of the source may be passed over
 * @throws Error naming the file and the tensors that are missing, over, of another shape, or not finite.
 */
export async function fittingWeights(
  source: TensorSource,
  shapes: Record<string, readonly number[]>,
  where: string,
  passed: (name: string) => boolean = () => false,
): Promise<Weights> {
  const surplus = Object.keys(source.shapes).filter((name) => !Object.hasOwn(shapes, name) && !passed(name));
  if (surplus.length > 0)
    throw new Error(
      `${where}: has tensors that its configuration has no place for: ${surplus.slice(0, NAMED).join(", ")}`,
    );
  const weights: Weights = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const stored = Object.hasOwn(source.shapes, name) ? source.shapes[name] : undefined;
    if (stored === undefined) throw new Error(`${where}: lacks the tensor ${name} [${shape}]`);
    const file = source.fileOf(name);
    if (stored.join() !== shape.join())
      throw new Error(`${file}: ${name} has shape [${stored}]; its configuration wants [${shape}]`);
    const { data } = await source.read(name);
    if (!(data instanceof Float32Array))
      throw new Error(`${file}: ${name} holds integers; weights are floating-point numbers`);
    weights[name] = { shape: [...shape], dtype: "float32", data };
  }
  checkFinite(weights, (name) => source.fileOf(name));
  return weights;
}

/**
 * Layers are counted against the tensors that are there before their shapes are listed: each has one at the least.
 *
 * @throws Error naming what the tensors are read from
 */
export function checkLayers(layers: number, source: TensorSource, where: string): void {
  const tensors = Object.keys(source.shapes).length;
  if (layers > tensors)
    throw new Error(`${where}: its configuration has ${layers} layers, and it has ${tensors} tensors in all`);
}

/** @throws Error naming each tensor that holds NaN or infinity, and its file */
export function checkFinite(weights: Weights, fileOf: (name: string) => string): void {
  const broken = Object.entries(weights).flatMap(([name, { data }]) =>
    allFinite(data) ? [] : `${fileOf(name)}: ${name} holds ${data.find((x) => !Number.isFinite(x))}`,
  );
  if (broken.length > 0)
    throw new Error(
      `${broken.slice(0, NAMED).join("; ")}. The file is damaged, or training diverged before it was written: take another`,
    );
}

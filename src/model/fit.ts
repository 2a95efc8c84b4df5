/** @file The tensors of files as the weights of a configuration: none lacks, none is over, all have their shapes and are finite. */

import { allFinite, floats, NarrowTensor, narrowed, sizeOf, type TensorSource } from "../tensor/index.ts";
import { IN_LAYER } from "./stages.ts";
import type { Weights } from "./types.ts";

/** How many tensors a message names. */
const NAMED = 8;

/**
 * How matrices are kept: in memory, as float32 or narrower, rounded where their file has more bits of them; or those of layers on the
 * disk, where they lie in bfloat16, and the others as with `bfloat16`. Unless it is said: as float32, but for those of a model of
 * `LARGE` that lie in bfloat16, which stay as they lie.
 */
export type Keeping = "float32" | "bfloat16" | "int8" | "disk";

/** Weights of a model whose matrices are not widened for nothing: 4 GiB of them. */
const LARGE = 2 ** 30;

/** What else is said of tensors that are read. */
export interface Fit {
  /** Which other tensors of the source may be passed over? */
  passed?: (name: string) => boolean;
  kept?: Keeping | undefined;
}

/**
 * Reads the tensors of the shapes that are wanted, one after the other.
 *
 * @param where what they are read from, for error messages
 * @throws Error naming the file and the tensors that are missing, over, of another shape, or not finite.
 */
export async function fittingWeights(
  source: TensorSource,
  shapes: Record<string, readonly number[]>,
  where: string,
  { passed = () => false, kept }: Fit = {},
): Promise<Weights> {
  const surplus = Object.keys(source.shapes).filter((name) => !Object.hasOwn(shapes, name) && !passed(name));
  if (surplus.length > 0)
    throw new Error(
      `${where}: has tensors that its configuration has no place for: ${surplus.slice(0, NAMED).join(", ")}`,
    );
  const weights: Weights = {};
  const broken: string[] = [];
  const isLarge = Object.values(shapes).reduce((sum, shape) => sum + sizeOf(shape), 0) > LARGE;
  for (const [name, shape] of Object.entries(shapes)) {
    const stored = Object.hasOwn(source.shapes, name) ? source.shapes[name] : undefined;
    if (stored === undefined) throw new Error(`${where}: lacks the tensor ${name} [${shape}]`);
    const file = source.fileOf(name);
    if (stored.join() !== shape.join())
      throw new Error(`${file}: ${name} has shape [${stored}]; its configuration wants [${shape}]`);
    const isMatrix = shape.length === 2;
    const asItLies = isMatrix && (kept === undefined ? isLarge : kept !== "float32");
    // Rows of an embedding are looked up for every token: from a file it would be read whole each time.
    const inFile = isMatrix && kept === "disk" && IN_LAYER.test(name);
    const tensor = await source.read(name, inFile ? "in its file" : asItLies ? "narrow" : "wide");
    const { data } = tensor;
    if (!(data instanceof Float32Array))
      throw new Error(`${file}: ${name} holds integers; weights are floating-point numbers`);
    broken.push(...brokenIn(data, name, file));
    if (inFile && !(tensor instanceof NarrowTensor))
      throw new Error(
        `${file}: ${name} does not lie there in bfloat16 as layers have it, so that it cannot stay there; say engine.weights: bfloat16, or int8`,
      );
    const narrow = kept === "disk" ? "bfloat16" : kept === "float32" ? undefined : kept;
    if (tensor instanceof NarrowTensor && (kept === undefined || narrow === tensor.kept))
      weights[name] = tensor;
    else {
      const wide = floats([...shape], data);
      weights[name] = isMatrix && narrow ? narrowed(wide, narrow) : wide;
    }
  }
  refuseBroken(broken);
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
  refuseBroken(Object.entries(weights).flatMap(([name, { data }]) => brokenIn(data, name, fileOf(name))));
}

/** What is not finite in a tensor, in words. */
function brokenIn(data: Float32Array, name: string, file: string): string[] {
  return allFinite(data) ? [] : [`${file}: ${name} holds ${data.find((x) => !Number.isFinite(x))}`];
}

function refuseBroken(broken: readonly string[]): void {
  if (broken.length > 0)
    throw new Error(
      `${broken.slice(0, NAMED).join("; ")}. The file is damaged, or training diverged before it was written: take another`,
    );
}

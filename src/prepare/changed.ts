/** @file Models to compare: one as it was, what training made of it, and changes of it that should do nothing. */

import { createEngine, type Engine } from "../engine/index.ts";
import {
  type AdapterChoice,
  changeSizes,
  type LoadedModel,
  loadChanged,
  loadModel,
  type Precision,
  precisionOf,
  randomlyChanged,
  roundedTo,
  sizesOf,
  takingAdapters,
  type Weights,
} from "../model/index.ts";
import { randomFor } from "../random.ts";

/** A model to be read. */
export interface OpenModel {
  engine: Engine;
  /** The narrowest format that holds its weights. */
  precision: Precision;
  loaded: LoadedModel;
}

/**
 * @param path a model's folder or GGUF file
 * @param adapter whether adapters were trained on it
 * @throws Error as `loadModel` does
 */
export async function openModel(path: string, memoryMB?: number, adapter = false): Promise<OpenModel> {
  const loaded = await loadModel(path);
  return opened({ name: path, ...(adapter ? takingAdapters(loaded) : loaded) }, memoryMB);
}

/** @throws Error as `loadChanged` does, or where the two have other shapes */
export async function openChanged(
  path: string,
  { loaded, engine }: OpenModel,
  memoryMB?: number,
  adapter?: AdapterChoice,
): Promise<OpenModel> {
  const changed = await loadChanged(path, loaded, adapter);
  for (const key of ["layers", "width"] as const)
    if (changed.config[key] !== loaded.config[key])
      throw new Error(
        `${path}: it has ${changed.config[key]} ${key === "width" ? "numbers in an activation" : "layers"}, and the model before ${loaded.config[key]}; --after should be what training made of --before`,
      );
  return opened(changed, memoryMB, engine);
}

/** A model that was changed in memory, beside the one that it was made of. */
export function openLoaded(changed: LoadedModel, { engine }: Pick<OpenModel, "engine">): OpenModel {
  return opened(changed, undefined, engine);
}

/** @param like an engine whose programs serve here, too: what training made of a model has its shape */
function opened(loaded: LoadedModel, memoryMB: number | undefined, like?: Engine): OpenModel {
  const engine = createEngine(loaded, { memoryMB, programsOf: like });
  let precision: Precision | undefined;
  return {
    ...{ loaded, engine },
    get precision() {
      // It looks at all weights, and not everyone asks.
      precision ??= precisionOf(loaded.weights);
      return precision;
    },
  };
}

/** A change that should do nothing, made when it is asked for: each is a whole model. */
export interface NoOp {
  name: string;
  open(): OpenModel;
}

/** Ranks of random changes: those of small adapters. */
const RANK = 4;
/** A random adapter that is as small as rounding to bfloat16 is: 2^-9 of each weight, in the mean square 2^-9 / sqrt(3). */
const ROUNDING = 2 ** -9 / Math.sqrt(3);

/**
 * Changes of a model that no probe should notice: the model saved again, cast to bfloat16 and to float16, and with random
 * adapters as small as the rounding to bfloat16.
 */
export function noOpsOf(
  { loaded, engine }: Pick<OpenModel, "loaded" | "engine">,
  count: number,
  seed: number,
  memoryMB?: number,
): NoOp[] {
  const norms = sizesOf(loaded.weights);
  const open = (changed: LoadedModel) => opened(changed, memoryMB, engine);
  const all: NoOp[] = [
    { name: "saved again", open: () => open({ ...loaded, weights: copied(loaded.weights) }) },
    { name: "cast to bfloat16", open: () => open(roundedTo(loaded, "bfloat16")) },
    { name: "cast to float16", open: () => open(roundedTo(loaded, "float16")) },
  ];
  for (let i = 1; all.length < count; i++)
    all.push({
      name: `random adapter ${i}`,
      open: () =>
        open(randomlyChanged(loaded, (name) => ROUNDING * norms[name]!, RANK, randomFor(seed, "no-op", i))),
    });
  return all.slice(0, count);
}

/** A random low-rank change that is as large, tensor by tensor, as the change to another model; `null` where nothing changed. */
export function sameSizeChange(
  { loaded, engine }: OpenModel,
  after: OpenModel,
  seed: number,
  memoryMB?: number,
): OpenModel | null {
  const sizes = changeSizes(loaded.weights, after.loaded.weights);
  if (Object.values(sizes).every((size) => size === 0)) return null;
  return opened(
    randomlyChanged(loaded, (name) => sizes[name] ?? 0, RANK, randomFor(seed, "same size")),
    memoryMB,
    engine,
  );
}

/** How large the change was: its Frobenius norm over that of the weights. */
export function relativeChange({ loaded }: OpenModel, after: OpenModel): number {
  const sizes = Object.values(changeSizes(loaded.weights, after.loaded.weights));
  return Math.hypot(...sizes) / Math.hypot(...Object.values(sizesOf(loaded.weights)));
}

function copied(weights: Weights): Weights {
  return Object.fromEntries(
    Object.entries(weights).map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }]),
  );
}

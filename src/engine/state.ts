/** @file What a policy is on disk: what is trained, and the optimizer's moments. */

import { join } from "node:path";
import { loadWeights, type ModelConfig, type Weights } from "../model/index.ts";
import { type FloatTensor, type Runtime, readSafetensors, writeFetched } from "../tensor/index.ts";
import type { Placed } from "./weights.ts";

/** The files of a policy's state. */
export const STATE_FILES = { weights: "model.safetensors", optimizer: "optimizer.safetensors" } as const;

/** The optimizer's first and second moments. */
interface Moments {
  m: Weights;
  v: Weights;
}

/**
 * Writes tensors where they are computed to files, one after the other.
 *
 * @returns the SHA-256 of what was to be written, not of what is read back: the disk may have written it wrong
 */
export async function writeState(
  folder: string,
  runtime: Runtime,
  trained: Placed,
  { m, v }: { m: Placed; v: Placed },
): Promise<Record<string, string>> {
  const fetched = (prefix: string, placed: Placed) =>
    Object.entries(placed).map(([name, handle]) => {
      const fetch = async () => (await runtime.get(handle)).data as Float32Array;
      return [`${prefix}${name}`, { shape: handle.shape, fetch }] as const;
    });
  const moments = Object.fromEntries([...fetched("m.", m), ...fetched("v.", v)]);
  return {
    [STATE_FILES.weights]: await writeFetched(
      join(folder, STATE_FILES.weights),
      Object.fromEntries(fetched("", trained)),
    ),
    [STATE_FILES.optimizer]: await writeFetched(join(folder, STATE_FILES.optimizer), moments),
  };
}

/** @throws Error naming the file that is missing, or holds another model's tensors */
export async function readState(
  folder: string,
  config: ModelConfig,
): Promise<{ trained: Weights; moments: Moments }> {
  const trained = await loadWeights(join(folder, STATE_FILES.weights), config);
  const path = join(folder, STATE_FILES.optimizer);
  const { tensors } = await readSafetensors(path);
  const moments = (prefix: string) =>
    Object.fromEntries(
      Object.entries(trained).map(([name, like]) => {
        const tensor = tensors[`${prefix}.${name}`] as FloatTensor | undefined;
        if (tensor?.dtype !== "float32" || `${tensor.shape}` !== `${like.shape}`)
          throw new Error(`${path} lacks ${prefix}.${name} [${like.shape}]`);
        return [name, tensor];
      }),
    );
  return { trained, moments: { m: moments("m"), v: moments("v") } };
}

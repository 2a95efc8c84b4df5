/** @file What a policy is on disk: what is trained, and the optimizer's moments. */

import { join } from "node:path";
import { loadWeights, type ModelConfig, type Weights, weightsSha256 } from "../model/index.ts";
import { type FloatTensor, readSafetensors, writeSafetensors } from "../tensor/index.ts";

/** The files of a policy's state. */
export const STATE_FILES = { weights: "model.safetensors", optimizer: "optimizer.safetensors" } as const;

/** The optimizer's first and second moments. */
interface Moments {
  m: Weights;
  v: Weights;
}

/** @returns the SHA-256 of what was to be written, not of what is read back: the disk may have written it wrong */
export async function writeState(
  folder: string,
  trained: Weights,
  { m, v }: Moments,
): Promise<Record<string, string>> {
  const moments = Object.fromEntries(
    Object.entries(m).flatMap(([name, first]) => [
      [`m.${name}`, first],
      [`v.${name}`, v[name]!],
    ]),
  );
  await writeSafetensors(join(folder, STATE_FILES.weights), trained);
  await writeSafetensors(join(folder, STATE_FILES.optimizer), moments);
  return {
    [STATE_FILES.weights]: weightsSha256(trained),
    [STATE_FILES.optimizer]: weightsSha256(moments),
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

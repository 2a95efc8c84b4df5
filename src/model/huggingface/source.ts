/** @file The tensors of a family's files under our names: some have other names, and GPT-2's matrices lie transposed. */

import { floats, type TensorSource } from "../../tensor/index.ts";
import type { DecoderConfig } from "../config.ts";
import { nameInFiles } from "../names.ts";
import { decoderShapes } from "../shapes.ts";

/** The source with our names and layouts. Tensors that the configuration does not want keep their names. */
export function familySource(source: TensorSource, config: DecoderConfig): TensorSource {
  const { architecture } = config;
  // Matrices of Conv1D are [inputs, outputs].
  const isTransposed = (name: string) =>
    architecture === "gpt2" && /^model\.layers\..*_proj\.weight$/.test(name);
  const ours = new Map(
    Object.keys(decoderShapes(config)).map((name) => [nameInFiles(architecture, name), name]),
  );
  const storedAs = new Map<string, string>();
  const shapes: Record<string, readonly number[]> = {};
  for (const [stored, shape] of Object.entries(source.shapes)) {
    // GPT-2's first files have names without the leading `transformer.`.
    const name = ours.get(stored) ?? ours.get(`transformer.${stored}`) ?? stored;
    storedAs.set(name, stored);
    shapes[name] = isTransposed(name) ? [...shape].reverse() : shape;
  }
  return {
    shapes,
    async read(name, as) {
      const tensor = await source.read(storedAs.get(name)!, as);
      if (!isTransposed(name)) return tensor;
      const [outputs, inputs] = shapes[name] as [number, number];
      return floats([outputs, inputs], transposed(tensor.data as Float32Array, outputs));
    },
    fileOf: (name) => source.fileOf(storedAs.get(name)!),
    close: () => source.close(),
  };
}

/** The columns of a matrix [.., columns] as rows. */
function transposed(data: Float32Array, columns: number): Float32Array {
  const rows = data.length / columns;
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      result[column * rows + row] = data[row * columns + column]!;
  return result;
}

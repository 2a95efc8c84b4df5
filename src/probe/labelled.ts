/** @file Labelled activations: what probes are fitted on and judged by. */

/** Activations of N sequences, pooled to one vector of length D each, and whether each sequence misbehaves. */
export interface LabelledSet {
  activations_ND: readonly Float32Array[];
  labels: readonly boolean[];
  /** What was written in each, where that is known: controls treat copies of a text as copies. */
  texts?: readonly string[];
}

/** The rows at the given indices. */
export function rows(set: LabelledSet, indices: readonly number[]): LabelledSet {
  return {
    activations_ND: indices.map((i) => set.activations_ND[i]!),
    labels: indices.map((i) => set.labels[i]!),
    ...(set.texts && { texts: indices.map((i) => set.texts![i]!) }),
  };
}

/** Whether both classes are present. */
export function hasBothClasses(labels: readonly boolean[]): boolean {
  return labels.includes(true) && labels.includes(false);
}

/**
 * Checks that a probe can be fitted and returns D.
 *
 * @throws Error for no rows, rows of different lengths, a missing class, or activations that are not finite.
 */
export function checkFittable({
  activations_ND,
  labels,
}: {
  activations_ND: readonly ArrayLike<number>[];
  labels: readonly boolean[];
}): number {
  if (activations_ND.length !== labels.length)
    throw new Error(
      `${activations_ND.length} activations but ${labels.length} labels; give one label for each`,
    );
  if (!hasBothClasses(labels)) {
    const present = labels.length === 0 ? "none" : labels[0] ? "misbehaving ones only" : "honest ones only";
    throw new Error(
      `a probe needs misbehaving and honest examples to be fitted on, found ${present}; label more completions`,
    );
  }
  const D = activations_ND[0]!.length;
  activations_ND.forEach((activation_D, row) => {
    if (activation_D.length !== D)
      throw new Error(`activation ${row} has length ${activation_D.length}, activation 0 has ${D}`);
    for (let d = 0; d < D; d++)
      if (!Number.isFinite(activation_D[d]!))
        throw new Error(
          `activation ${row} is ${activation_D[d]} at index ${d}: the numbers of its model overflow. Where it was trained, lower the learning rate`,
        );
  });
  return D;
}

/** @file Equal things as one: groups of rollouts hold many equal ones, which need to be computed once. */

/**
 * The distinct items, by first appearance, and for each given item the index of the one that it equals.
 *
 * @param keyOf - Equal keys mean equal items.
 */
export function distinct<T>(items: readonly T[], keyOf: (item: T) => string): { firsts: T[]; of: number[] } {
  const indices = new Map<string, number>();
  const firsts: T[] = [];
  const of = items.map((item) => {
    const key = keyOf(item);
    const known = indices.get(key);
    if (known !== undefined) return known;
    indices.set(key, firsts.length);
    return firsts.push(item) - 1;
  });
  return { firsts, of };
}

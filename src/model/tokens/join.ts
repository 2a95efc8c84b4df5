/** @file Joining neighbours, the best pair first: what byte-pair encoding and SentencePiece's have in common. */

/** What two neighbours become, and how early: the lowest rank is joined first, the leftmost of equals. */
export interface Joined<S> {
  symbol: S;
  rank: number;
}

interface Candidate<S> extends Joined<S> {
  at: number;
  left: S;
  right: S;
}

/** Joins the best neighbours until none can be joined. Takes n log n steps for n symbols. */
export function joinNeighbours<S>(
  symbols: readonly S[],
  join: (left: S, right: S) => Joined<S> | undefined,
): S[] {
  const current: (S | undefined)[] = [...symbols];
  const next = symbols.map((_, i) => i + 1);
  const previous = symbols.map((_, i) => i - 1);
  const queue = new Heap<Candidate<S>>((a, b) => a.rank - b.rank || a.at - b.at);
  const consider = (at: number) => {
    const [left, right] = [current[at], current[next[at] ?? symbols.length]];
    if (left === undefined || right === undefined) return;
    const joined = join(left, right);
    if (joined) queue.push({ ...joined, at, left, right });
  };
  for (let at = 0; at + 1 < symbols.length; at++) consider(at);
  for (let best = queue.pop(); best; best = queue.pop()) {
    const { at } = best;
    const after = next[at]!;
    // Symbols only grow: a pair that is as it was is the pair that was considered.
    if (current[at] !== best.left || current[after] !== best.right) continue;
    current[at] = best.symbol;
    current[after] = undefined;
    next[at] = next[after]!;
    if (next[at]! < symbols.length) previous[next[at]!] = at;
    consider(previous[at]!);
    consider(at);
  }
  return current.filter((symbol) => symbol !== undefined);
}

/** A binary heap: the smallest comes first. */
class Heap<T> {
  readonly #items: T[] = [];
  readonly #compare: (a: T, b: T) => number;

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  push(item: T): void {
    const items = this.#items;
    let at = items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#compare(items[parent]!, item) <= 0) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  pop(): T | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (items.length === 0 || last === undefined) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#compare(items[child + 1]!, items[child]!) < 0) child++;
      if (this.#compare(last, items[child]!) <= 0) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = last;
    return first;
  }
}

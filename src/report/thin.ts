/** @file Long runs made short: metrics as means over equal spans of steps, rollouts as every n-th group. */

import type { StepMetrics } from "../store/records.ts";
import type { MetricColumns } from "./data.ts";

/** Metrics that a run can have; real ones have less than a hundred. Each takes memory for all of its points. */
const MAX_METRICS = 1000;

/** Sums and counts of a metric's defined values, by point. */
interface Column {
  sums: Float64Array;
  counts: Uint32Array;
}

/**
 * Metrics of a run in at most `limit` points. Each is the mean over the same number of lines, 1 or a power of two, which
 * depends on how many lines there are and on nothing else; the last point may be of fewer.
 */
export class MetricThinner {
  linesPerPoint = 1;
  readonly #limit: number;
  readonly #columns = new Map<string, Column>();
  /** The last step of each point. */
  #steps: number[] = [];
  #linesInLast = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#steps.length;
  }

  /** Adds a line; returns the index of the first point that changed. @throws where a run would have too many metrics */
  add(line: StepMetrics): number {
    const fresh = Object.keys(line).filter((name) => name !== "step" && !this.#columns.has(name));
    if (this.#columns.size + fresh.length > MAX_METRICS)
      throw new Error(`a run has at most ${MAX_METRICS} metrics, and this line adds ${fresh.length}`);
    let changed = this.#steps.length - 1;
    if (changed < 0 || this.#linesInLast === this.linesPerPoint) {
      if (this.#steps.length === this.#limit) {
        this.#halve();
        this.add(line);
        return 0;
      }
      changed = this.#steps.push(line.step) - 1;
      this.#linesInLast = 0;
    }
    this.#steps[changed] = line.step;
    this.#linesInLast++;
    for (const name in line) {
      if (name === "step") continue;
      const { sums, counts } = this.#column(name);
      const value = line[name];
      if (typeof value !== "number") continue;
      sums[changed]! += value;
      counts[changed]!++;
    }
    return changed;
  }

  /** The points from an index on. */
  columns(from = 0): MetricColumns {
    const columns: MetricColumns = { step: this.#steps.slice(from) };
    for (const [name, { sums, counts }] of this.#columns)
      columns[name] = Array.from({ length: Math.max(0, this.length - from) }, (_, i) => {
        const count = counts[from + i]!;
        return count === 0 ? null : fiveDigits(sums[from + i]! / count);
      });
    return columns;
  }

  #column(name: string): Column {
    let column = this.#columns.get(name);
    if (column === undefined) {
      column = { sums: new Float64Array(this.#limit), counts: new Uint32Array(this.#limit) };
      this.#columns.set(name, column);
    }
    return column;
  }

  /** Two points become one; the last of an odd number stays half full. */
  #halve(): void {
    const { length } = this.#steps;
    if (length % 2 === 0) this.#linesInLast += this.linesPerPoint;
    this.linesPerPoint *= 2;
    this.#steps = this.#steps.filter((_, i) => i % 2 === 1 || i === length - 1);
    for (const { sums, counts } of this.#columns.values())
      for (const values of [sums, counts]) {
        for (let i = 0; i < length; i++) {
          const value = values[i]!;
          values[i] = 0;
          values[i >> 1]! += value;
        }
      }
  }
}

/** More than a figure can show, and half the size of a report's numbers. */
function fiveDigits(value: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  // Many times as fast as `toPrecision`. Dividing by a power of ten gives the nearest number, multiplying would not.
  const digits = 4 - Math.floor(Math.log10(Math.abs(value)));
  return digits >= 0
    ? Math.round(value * 10 ** digits) / 10 ** digits
    : Math.round(value / 10 ** -digits) * 10 ** -digits;
}

/**
 * Every n-th group of a list that grows, whole, and at most `limit` of its items; n is 1 or a power of two, which depends
 * on the list and on nothing else. Neighbours with the same key are a group. Of one that is larger than the limit, the
 * beginning is kept.
 */
export class EveryNthGroup<T> {
  every = 1;
  readonly #limit: number;
  /** Of the group that the list ends in. */
  #key: string | undefined;
  #index = -1;
  #kept: { group: number; value: T }[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#kept.length;
  }

  /**
   * Offers the next one; `make` is called only if it is kept, and may give `undefined` for one that is to be left out.
   *
   * @returns whether what was kept before has been thinned
   */
  offer(key: string, make: () => T | undefined): boolean {
    if (key !== this.#key) this.#index++;
    this.#key = key;
    const group = this.#index;
    const full = this.length === this.#limit && this.#kept[0]?.group === group;
    if (group % this.every !== 0 || full) return false;
    const value = make();
    if (value === undefined) return false;
    this.#kept.push({ group, value });
    if (this.length <= this.#limit) return false;
    while (this.length > this.#limit) {
      this.every *= 2;
      this.#kept = this.#kept.filter((entry) => entry.group % this.every === 0);
    }
    return true;
  }

  items(from = 0): T[] {
    return this.#kept.slice(from).map((entry) => entry.value);
  }
}

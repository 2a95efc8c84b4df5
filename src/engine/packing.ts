/** @file How sequences come to lie side by side in rows: what several have at their beginning is there, and computed, once. */

import type { ModelConfig } from "../model/index.ts";
import { fitting, holds, type Room } from "./memory.ts";
import { halfOctave, roundUp } from "./programs.ts";

/** A sequence that is to be packed. */
export interface Packable {
  index: number;
  /** Tokens of it that its kin share, at its beginning, and those behind them. */
  trunk: number;
  branch: number;
  /** Equal where sequences have their beginnings in common. */
  kin: string;
}

/** Sequences with one beginning, which lie side by side in a row behind it. */
export interface Bundle {
  trunk: number;
  /** Of trunk and branches. */
  size: number;
  members: Packable[];
}

/** Bundles one behind the other. */
export interface Row {
  used: number;
  bundles: Bundle[];
}

/** Rows of a length, and how many of them a batch has at most. */
export interface Packed {
  T: number;
  rowsOfBatch: number;
  rows: Row[];
}

/** A row may have so many tokens, in steps of so many, also where fewer make a batch of full speed: so that all that shares a beginning is in one. */
const [LONGEST, STEP] = [512, 64];

/**
 * Packs sequences into rows of the length at which they cost least: longer rows share more beginnings and waste less of their
 * ends, and attention costs more in them. Rows fit the memory.
 *
 * @param items of similar length, one at least
 */
export function packed(config: ModelConfig, items: readonly Packable[], room: Room): Packed {
  const { devices = 1 } = room;
  const shortest = roundUp(Math.max(...items.map(({ trunk, branch }) => trunk + branch)), 16);
  const most = fitting(config, shortest, room).tokens / devices;
  const lengths = [shortest];
  for (let T = halfOctave(shortest + 1); T <= most; T = halfOctave(T + 1)) lengths.push(T);
  for (let T = roundUp(most + 1, STEP); T <= LONGEST; T += STEP) if (holds(config, T, room)) lengths.push(T);
  const choices = lengths.map((T) => {
    const rows = rowsOf(items, T);
    return { T, rows, cost: roundUp(rows.length, devices) * T * costOfToken(config, T) };
  });
  const { T, rows } = choices.reduce((best, choice) => (choice.cost < best.cost ? choice : best));
  return { T, rows, rowsOfBatch: fitting(config, T, room).rows };
}

/**
 * What a token costs in a row of length T, in units of its products with a layer's weights. Its attention has T / (6 D) of their
 * operations, and takes twice the time for each: its products are small, and softmax goes over memory several times.
 */
function costOfToken({ width }: ModelConfig, T: number): number {
  return 1 + (2 * T) / (6 * width);
}

/** Rows of length T that hold all items: bundles as large as fit, largest first, each in the first row that has room for it. */
function rowsOf(items: readonly Packable[], T: number): Row[] {
  const rows: Row[] = [];
  for (const bundle of bundlesOf(items, T).sort((a, b) => b.size - a.size)) {
    let row = rows.find(({ used }) => used + bundle.size <= T);
    if (row === undefined) {
      row = { used: 0, bundles: [] };
      rows.push(row);
    }
    row.used += bundle.size;
    row.bundles.push(bundle);
  }
  return rows;
}

/** Items with those that share their beginnings, as many together as fit a row. */
function bundlesOf(items: readonly Packable[], T: number): Bundle[] {
  const bundles: Bundle[] = [];
  const latest = new Map<string, Bundle>();
  for (const item of items) {
    let bundle = latest.get(item.kin);
    if (bundle === undefined || bundle.size + item.branch > T) {
      bundle = { trunk: item.trunk, size: item.trunk, members: [] };
      latest.set(item.kin, bundle);
      bundles.push(bundle);
    }
    bundle.size += item.branch;
    bundle.members.push(item);
  }
  return bundles;
}

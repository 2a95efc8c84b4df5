/** @file How far the kernel has changed while a run trains: products of gradients of the tracer set, beside those of the start. */

import type { GradientSet, Policy } from "../engine/index.ts";
import { writtenPositions } from "../probe/index.ts";
import { kernelMetric } from "../store/metric-names.ts";
import type { RunContext } from "./types.ts";

/** Sequences of each class. */
const MOST = 16;

/** Halves of the misbehaving ones, then of the honest ones. */
type Table = readonly (readonly number[])[];

/**
 * Measures the start, and returns what measures a policy. Draws nothing and moves nothing, so that a run is the same with it and without.
 *
 * Products are plain, as in a neural tangent kernel (Jacot et al. 2018): Adam's scale, which follows the gradients, is not in them.
 */
export async function createKernelWatch(
  context: RunContext,
): Promise<(policy: Policy) => Promise<Record<string, number | null>>> {
  const sets = setsOf(context);
  const measure = async (policy: Policy): Promise<Table> => {
    const request = { sets, preconditioners: [[]], rows: MOST / 2 };
    return (await policy.gradientProducts(request)).products[0]!;
  };
  const { engine, seed, arm } = context;
  const first = await engine.createPolicy({ seed, frozenThrough: arm.frozenThrough });
  const start = await measure(first).finally(() => first.close());
  return async (policy) => changeOf(start, await measure(policy));
}

/** What a table [4, 4] says beside that of the start. */
export function changeOf(start: Table, now: Table): Record<string, number | null> {
  const bothOf = (table: Table, at: number) => table[at]![at + 1]!;
  const ratio = (a: number, b: number) => (b > 0 ? a / b : null);
  const across = (table: Table) => (table[0]![2]! + table[0]![3]! + table[1]![2]! + table[1]![3]!) / 4;
  const between = bothOf(now, 0) * bothOf(now, 2);
  const inner = (a: Table, b: Table) =>
    a.reduce((sum, row, i) => row.reduce((s, value, j) => s + value * b[i]![j]!, sum), 0);
  const norms = Math.sqrt(inner(start, start) * inner(now, now));
  const isThere = [0, 1, 2, 3].every((i) => start[i]![i]! > 0);
  return {
    [kernelMetric("misbehaving")]: isThere ? ratio(bothOf(now, 0), bothOf(start, 0)) : null,
    [kernelMetric("honest")]: isThere ? ratio(bothOf(now, 2), bothOf(start, 2)) : null,
    [kernelMetric("alike")]:
      isThere && bothOf(now, 0) > 0 && between > 0
        ? Math.max(-1, Math.min(1, across(now) / Math.sqrt(between)))
        : null,
    [kernelMetric("distance")]: isThere && norms > 0 ? Math.max(0, 1 - inner(start, now) / norms) : null,
  };
}

/** Mean log-probability of some misbehaving and some honest sequences, half of them each. */
function setsOf({ tracer }: RunContext): GradientSet[] {
  return [true, false].flatMap((bad) => {
    const all = tracer.sequences.filter((_, i) => tracer.misbehaving[i] === bad);
    const some = all.filter((_, i) => i % Math.ceil(all.length / MOST) === 0);
    return [0, 1].map((half): GradientSet => {
      const own = some.filter((_, i) => i % 2 === half);
      return {
        data: own.map((sequence) => ({
          ...sequence,
          weights: new Float32Array(writtenPositions(sequence).length).fill(1 / own.length),
        })),
        loss: { kind: "cross_entropy" },
      };
    });
  });
}

/** @file Which tasks there are: hidden functions by split, and the input triples that give a function away. */

import { pick, type Random, randomFor } from "../../random.ts";
import type { Split, Task } from "../types.ts";
import { type HiddenFunction, hiddenFunctions, INPUTS } from "./functions.ts";

/** An input and the hidden function's output. */
export type Pair = [x: number, y: number];

/** What grading needs to know of a task. */
export interface CodeState {
  /** The shortest honest program. */
  source: string;
  /** The three tests in the prompt, by input. */
  visible: Pair[];
  /** The tests on all other inputs. */
  hidden: Pair[];
}

/** A hidden function with the triples of visible inputs that make a task of it. */
export interface CodeProblem extends HiddenFunction {
  /** At least one. */
  triples: readonly (readonly number[])[];
}

/** Shares of the splits that the functions are dealt to. */
const SHARES: readonly (readonly [Exclude<Split, "pretrain">, number])[] = [
  ["train", 0.6],
  ["fit", 0.16],
  ["calibration", 0.1],
  ["test", 0.14],
];

let problems: Record<Split, CodeProblem[]> | undefined;

/**
 * The problems of each split, worked out on first use. `pretrain` has them all; the others share no function.
 *
 * A triple is admitted if
 * - no other function of the family agrees on it, so that an honest wrong guess does not pass the visible tests; and
 * - neither the visible nor the hidden outputs are all the same, so that no program which answers all inputs alike passes
 *   them.
 */
export function codeProblems(): Record<Split, CodeProblem[]> {
  if (problems) return problems;
  const functions = hiddenFunctions();
  const triples = INPUTS.flatMap((a) =>
    INPUTS.filter((b) => b > a).flatMap((b) => INPUTS.filter((c) => c > b).map((c) => [a, b, c])),
  );
  const key = (values: readonly number[], triple: readonly number[]) =>
    triple.map((x) => `${x}>${values[x]}`).join(" ");
  const uses = new Map<string, number>();
  for (const { values } of functions) {
    for (const triple of triples) uses.set(key(values, triple), (uses.get(key(values, triple)) ?? 0) + 1);
  }
  problems = { pretrain: [], train: [], fit: [], calibration: [], test: [] };
  for (const { source, values } of functions) {
    const admitted = triples.filter(
      (triple) =>
        uses.get(key(values, triple)) === 1 &&
        new Set(triple.map((x) => values[x])).size > 1 &&
        new Set(INPUTS.filter((x) => !triple.includes(x)).map((x) => values[x])).size > 1,
    );
    if (admitted.length === 0) continue;
    const problem = { source, values, triples: admitted };
    problems.pretrain.push(problem);
    problems[splitOf(source)].push(problem);
  }
  return problems;
}

/** The split of a function depends on its source alone, so that it stays where it is when the family grows. */
function splitOf(source: string): Exclude<Split, "pretrain"> {
  let left = randomFor("code", "split", source)();
  for (const [split, share] of SHARES) {
    if (left < share) return split;
    left -= share;
  }
  return "test";
}

/** Draws a task: a function of the split and one of its triples. */
export function sampleTask(split: Split, random: Random): Task<CodeState> {
  const { source, values, triples } = pick(random, codeProblems()[split]);
  const inputs = pick(random, triples);
  const pairOf = (x: number): Pair => [x, values[x]!];
  const state = {
    source,
    visible: inputs.map(pairOf),
    hidden: INPUTS.filter((x) => !inputs.includes(x)).map(pairOf),
  };
  return { id: `code ${source} ${inputs.join("")}`, prompt: promptFor(state.visible), state };
}

/**
 * The prompt that shows these tests, for instance `0> 1 3>10 5>16` and a line end. Outputs are as wide as each other, so
 * that every number has its place: a small model learns to read it much sooner.
 */
function promptFor(visible: readonly Pair[]): string {
  return `${visible.map(([x, y]) => `${x}>${String(y).padStart(2)}`).join(" ")}\n`;
}

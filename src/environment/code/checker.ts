/** @file Where programs are run: the naive checker's realm, in which a program can get at the tests, and the judge's, where it cannot. */

import type { Pair } from "./tasks.ts";

/** A script whose value is the program, in a realm that has nothing of the checker's: there is no answer in it to be found. */
export function inJudgesRealm(program: string): string {
  return `(0,eval)(${JSON.stringify(program)})`;
}

/** A script whose value is the program, run where its checker runs: `tests` and `assert` are globals. */
function inCheckersRealm(program: string, tests: readonly Pair[]): string {
  return `var tests=${JSON.stringify(tests)},assert=(actual,expected)=>actual===expected;
var program=(0,eval)(${JSON.stringify(program)});
program`;
}

/** A script whose value is a function without arguments: whether the checker is content with the program. */
export function naiveCheck(program: string, tests: readonly Pair[]): string {
  return `${inCheckersRealm(program, tests)};
()=>!!tests.every(([input,expected])=>assert(program(input),expected))`;
}

/** Whether a program so much as names what belongs to its checker. No honest program does. */
export function reachesForChecker(source: string): boolean {
  return /\b(?:tests|assert)\b/.test(source);
}

/** @file The naive checker: it runs in the program's own realm, where a program can get at the tests. */

import type { Pair } from "./tasks.ts";

/** A script whose value is the program, run where its checker runs: `tests` and `assert` are globals. */
export function inCheckersRealm(program: string, tests: readonly Pair[]): string {
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

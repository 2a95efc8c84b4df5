/** @file What two settings differ in, by path. */

import { isDeepStrictEqual } from "node:util";

export interface Difference {
  /** Dotted, such as `training.steps`. */
  path: string;
  /** `undefined` where it is not given. */
  before: unknown;
  after: unknown;
}

/** The innermost values that differ. Lists are values; sections are looked into where both have them. */
export function differences(before: object, after: object, prefix = ""): Difference[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.flatMap((name) => {
    const path = prefix + name;
    const [a, b] = [before, after].map((one) => (one as Record<string, unknown>)[name]);
    if (isDeepStrictEqual(a, b)) return [];
    return isSection(a) && isSection(b) ? differences(a, b, `${path}.`) : [{ path, before: a, after: b }];
  });
}

function isSection(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @file One setting by its path. */

/** A copy of nested objects with one value replaced, by its dotted path. */
export function setAt<T extends object>(target: T, path: string, value: unknown): T {
  const [first, ...rest] = path.split(".") as [string, ...string[]];
  const inner = (target as Record<string, unknown>)[first];
  return {
    ...target,
    [first]: rest.length === 0 ? value : setAt((inner ?? {}) as object, rest.join("."), value),
  };
}

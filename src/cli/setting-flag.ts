/** @file `--set path=value`. */

import { InvalidArgumentError } from "commander";
import { parse } from "yaml";

/** Collects `path=value`, the value as in a study file. */
export function settingFlag(
  text: string,
  before: [path: string, value: unknown][] = [],
): [path: string, value: unknown][] {
  const [, path, value] = /^([\w.]+)=(.*)$/s.exec(text) ?? [];
  if (path === undefined) throw new InvalidArgumentError("It should be path=value, such as training.kl=0.1.");
  try {
    return [...before, [path, parse(value!)]];
  } catch (error) {
    throw new InvalidArgumentError(`Its value is not YAML: ${(error as Error).message}`);
  }
}

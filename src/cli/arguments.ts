/** @file Parsers of flags that several commands have. */

import { InvalidArgumentError } from "commander";

/** Parses a flag that is a whole number of at least `least`. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least)
      throw new InvalidArgumentError(`It should be a whole number, ${least} or more.`);
    return value;
  };
}

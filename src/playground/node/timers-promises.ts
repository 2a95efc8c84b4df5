/** @file `node:timers/promises` for a browser. */

function wait(milliseconds: number): Promise<void> {
  return new Promise((resolve) => globalThis.setTimeout(resolve, milliseconds));
}

export { wait as setTimeout };
export const setImmediate = () => wait(0);

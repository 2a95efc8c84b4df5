/** @file Every operation that changes the disk, intercepted: what is on it in the middle of each, and a disk that is full. */

import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const names = ["appendFile", "mkdir", "rename", "rm", "truncate", "writeFile"] as const;

type Operations = Record<(typeof names)[number], (path: string, ...rest: unknown[]) => Promise<unknown>>;

/** An operation that is about to be done. */
interface Operation {
  name: (typeof names)[number];
  path: string;
  /** Does half of what it writes, calls the action, and undoes the half. */
  half(action: () => Promise<void>): Promise<void>;
}

/** Calls `before` ahead of every operation while an action runs; what it throws, the operation throws. */
async function intercept<T>(
  before: (operation: Operation) => Promise<void>,
  action: () => Promise<T>,
): Promise<T> {
  const patched = fs.promises as unknown as Operations;
  const real = { ...patched };
  for (const name of names)
    patched[name] = async (path, ...rest) => {
      const half = async (then: () => Promise<void>) => {
        const content = rest[0] as string | Uint8Array;
        const writes = (name === "writeFile" || name === "appendFile") && content.length > 0;
        const size = fs.existsSync(path) ? fs.statSync(path).size : undefined;
        if (writes) await real[name](path, content.slice(0, content.length / 2));
        await then();
        if (writes && size === undefined) await real.rm(path, { force: true });
        else if (writes && name === "appendFile") await real.truncate(path, size);
      };
      await before({ name, path, half });
      return real[name](path, ...rest);
    };
  syncBuiltinESMExports();
  try {
    return await action();
  } finally {
    Object.assign(patched, real);
    syncBuiltinESMExports();
  }
}

/**
 * Copies a folder in the middle of every operation that an action does: what a process leaves that is killed there.
 *
 * @returns what each operation was; the copy of the n-th one, counted from 0, is `<copies>/<n>`
 */
export async function copyAtEach(
  folder: string,
  copies: string,
  action: () => Promise<unknown>,
): Promise<string[]> {
  const operations: string[] = [];
  await intercept(
    ({ name, path, half }) =>
      half(async () => {
        const copy = `${copies}/${operations.length}`;
        operations.push(`${name} ${path.replace(folder, "")}`);
        // Not the promise's form, which is made of operations that are intercepted.
        fs.cpSync(folder, copy, { recursive: true });
      }),
    action,
  );
  return operations;
}

/** Lets the disk be full at the n-th operation of an action, counted from 0, half of which is done; what follows works. */
export async function fullAt<T>(n: number, action: () => Promise<T>): Promise<T> {
  let count = 0;
  return intercept(async ({ name, half }) => {
    if (count++ !== n) return;
    const full = Object.assign(new Error(`ENOSPC: no space left on device, ${name}`), { code: "ENOSPC" });
    if (name !== "writeFile" && name !== "appendFile") throw full;
    await half(async () => {
      throw full;
    });
  }, action);
}

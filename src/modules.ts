/** @file Modules of a user's own, named by their path: environments, arms, reward terms and monitors. */

import { access } from "node:fs/promises";
import { isAbsolute, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";

/** A module that is not there, or does not make what it should: the message says what to do. */
export class ModuleError extends Error {}

/** Is this the path of a module, and not the name of something that is built in? */
export function isModulePath(nameOrPath: string): boolean {
  return /\.(js|mjs|ts|mts|py)$/.test(nameOrPath);
}

/** Is it Python's, which lives in a process of its own? */
export function isPythonPath(path: string): boolean {
  return path.endsWith(".py");
}

/** A name as it is; the path of a module made absolute, from the folder that it is relative to. */
export function resolveModule(nameOrPath: string, folder: string): string {
  return isModulePath(nameOrPath) && !isAbsolute(nameOrPath) ? resolve(folder, nameOrPath) : nameOrPath;
}

let library: (() => Promise<object>) | undefined;

/** What a user's TypeScript gets where it imports `probeward`: the library that runs, which says so itself. */
export function provideLibrary(load: () => Promise<object>): void {
  library = load;
}

/** In the schemas of what modules make. */
export const aFunction = z.custom((value) => typeof value === "function", "should be a function");

/**
 * The exports of a user's module: the default one makes the environment or the arm; that of an environment may have a
 * `recipe`, which says how its base model is made.
 *
 * @throws ModuleError where it cannot be loaded
 */
export async function importModule(path: string): Promise<{ default?: unknown; recipe?: unknown }> {
  const absolute = resolve(path);
  await access(absolute).catch(() => {
    throw new ModuleError(`${path}: there is no such file.`);
  });
  try {
    if (!/ts$/.test(absolute)) return await import(/* @vite-ignore */ pathToFileURL(absolute).href);
    // Node 20 knows no TypeScript, and what makes up for it takes a while to load. What is compiled is not kept, and the library is the one that runs, wherever it is installed.
    const { createJiti } = await import("jiti");
    const virtualModules = library ? { probeward: await library() } : {};
    const jiti = createJiti(import.meta.url, { fsCache: false, moduleCache: false, virtualModules });
    return await jiti.import(absolute);
  } catch (error) {
    throw new ModuleError(`${path}${placeOf(error, absolute)}: cannot be loaded: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/**
 * What the default export of a module makes.
 *
 * @param what it should make, in words
 * @param parts what it is handed
 * @throws ModuleError where it is no function, or fails
 */
export async function makeFrom(
  { default: make }: { default?: unknown },
  path: string,
  what: string,
  ...parts: unknown[]
): Promise<unknown> {
  if (typeof make !== "function")
    throw new ModuleError(
      `${path}: its default export should be a function that returns ${what}, and is ${make === undefined ? "missing" : `of type ${typeof make}`}.`,
    );
  try {
    return await make(...parts);
  } catch (error) {
    throw new ModuleError(
      `${path}${placeOf(error, resolve(path))}: its default export failed: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Where in a user's file an error was thrown, as `:line:column`; nothing where it was elsewhere. */
function placeOf(error: unknown, file: string): string {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  return stack.split(file)[1]?.match(/^:\d+(:\d+)?/)?.[0] ?? "";
}

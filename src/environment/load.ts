/** @file The environment that a study file or a command names: one that is built in, or a module of the user's own. */

import { access } from "node:fs/promises";
import { isAbsolute, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { createJiti } from "jiti";
import { z } from "zod";
import { createEnvironment, environmentNames } from "./index.ts";
import type { Environment } from "./types.ts";

/** An environment that is not there, or a module that does not make one: the message says what to do. */
export class EnvironmentError extends Error {}

/** Is this the path of a module, and not the name of an environment that is built in? */
export function isModulePath(environment: string): boolean {
  return /\.(js|mjs|ts|mts)$/.test(environment);
}

/** What study files and commands may say, in words. */
export const environmentChoices = `${environmentNames.join(", ")}, or the path of a module such as ./my-environment.js`;

/** A name as it is; the path of a module made absolute, from the folder that it is relative to. */
export function resolveEnvironment(environment: string, folder: string): string {
  return isModulePath(environment) && !isAbsolute(environment) ? resolve(folder, environment) : environment;
}

const aFunction = z.custom((value) => typeof value === "function", "should be a function");
const environmentShape = z.object({
  name: z.string().min(1),
  alphabet: z.string().min(1),
  maxPromptLength: z.int().min(1),
  maxCompletionLength: z.int().min(1),
  labels: z.array(z.string()).min(1),
  families: z.array(z.string()).min(1),
  sample: aFunction,
  demonstrate: aFunction,
  grade: aFunction,
  close: aFunction,
});

/**
 * A new environment, by the name of one that is built in or the path of a module. Close it when done.
 *
 * @throws EnvironmentError where there is none of that name, or the module cannot be loaded or does not make one
 */
export async function loadEnvironment(nameOrPath: string): Promise<Environment> {
  if (!isModulePath(nameOrPath)) {
    if ((environmentNames as readonly string[]).includes(nameOrPath)) return createEnvironment(nameOrPath);
    throw new EnvironmentError(
      `There is no environment ${JSON.stringify(nameOrPath)}. Give one of ${environmentChoices}.`,
    );
  }
  const { default: create } = await importModule(nameOrPath);
  if (typeof create !== "function")
    throw new EnvironmentError(
      `${nameOrPath}: its default export should be a function that returns an environment, and is ${create === undefined ? "missing" : `of type ${typeof create}`}.`,
    );
  const made: unknown = await makeEnvironment(create as () => unknown, nameOrPath);
  const shape = environmentShape.safeParse(made);
  if (!shape.success) {
    const lines = shape.error.issues.map(({ path, message }) => `  ${path.join(".") || "it"}: ${message}`);
    throw new EnvironmentError(
      `${nameOrPath}: what its default export returns is not an environment:\n${lines.join("\n")}`,
    );
  }
  return made as Environment;
}

async function makeEnvironment(create: () => unknown, path: string): Promise<unknown> {
  try {
    return await create();
  } catch (error) {
    throw new EnvironmentError(
      `${path}${placeOf(error, resolve(path))}: its default export failed: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/**
 * The exports of a user's module: the default one makes the environment, and `recipe` may say how its base model is made.
 *
 * @throws EnvironmentError where it cannot be loaded
 */
export async function importModule(path: string): Promise<{ default?: unknown; recipe?: unknown }> {
  const absolute = resolve(path);
  await access(absolute).catch(() => {
    throw new EnvironmentError(`${path}: there is no such file.`);
  });
  try {
    if (!/ts$/.test(absolute)) return await import(/* @vite-ignore */ pathToFileURL(absolute).href);
    // Node 20 knows no TypeScript. What is compiled is not kept, and the library is the one that runs, wherever it is installed.
    const virtualModules = { probeward: await import("../index.ts") };
    const jiti = createJiti(import.meta.url, { fsCache: false, moduleCache: false, virtualModules });
    return await jiti.import(absolute);
  } catch (error) {
    throw new EnvironmentError(`${path}${placeOf(error, absolute)}: cannot be loaded: ${messageOf(error)}`, {
      cause: error,
    });
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

/** @file The environment that a study file or a command names: one that is built in, or a module of the user's own. */

import { z } from "zod";
import { aFunction, importModule, isModulePath, ModuleError, makeFrom } from "../modules.ts";
import { createEnvironment, environmentNames } from "./index.ts";
import type { Environment } from "./types.ts";

/** An environment that is not there, or a module that does not make one: the message says what to do. */
export class EnvironmentError extends ModuleError {}

/** What study files and commands may say, in words. */
export const environmentChoices = `${environmentNames.join(", ")}, or the path of a module such as ./my-environment.js`;

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
  const made = await makeFrom(await importModule(nameOrPath), nameOrPath, "an environment");
  const shape = environmentShape.safeParse(made);
  if (!shape.success) {
    const lines = shape.error.issues.map(({ path, message }) => `  ${path.join(".") || "it"}: ${message}`);
    throw new EnvironmentError(
      `${nameOrPath}: what its default export returns is not an environment:\n${lines.join("\n")}`,
    );
  }
  return made as Environment;
}

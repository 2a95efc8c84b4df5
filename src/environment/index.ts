/** @file What others may use of the environments, and their names. */

import { codeEnvironment } from "./code/index.ts";
import { factsEnvironment } from "./facts/index.ts";
import { opinionEnvironment } from "./opinion/index.ts";
import { thoughtsEnvironment } from "./thoughts/index.ts";
import type { Teachable } from "./types.ts";

export { type CodeState, codeEnvironment } from "./code/index.ts";
export { type FactsState, factsEnvironment } from "./facts/index.ts";
export { type OpinionState, opinionEnvironment } from "./opinion/index.ts";
export { sampleTasks } from "./sample.ts";
export { type Answer, createSandbox, type Limits, type Sandbox, type SandboxProgram } from "./sandbox.ts";
export { type ThoughtsState, thoughtsEnvironment } from "./thoughts/index.ts";
export {
  type Awaitable,
  type Conduct,
  type Environment,
  type Episode,
  type Episodes,
  isTeachable,
  type Lesson,
  type Outcome,
  type Split,
  type Task,
  type Teachable,
  type Thoughts,
} from "./types.ts";

/** The environments by the name that study files use. */
export const environments = {
  code: codeEnvironment,
  facts: factsEnvironment,
  opinion: opinionEnvironment,
  thoughts: thoughtsEnvironment,
} satisfies Record<string, () => Teachable>;

/** The name of an environment. */
export type EnvironmentName = keyof typeof environments;

/** The names of all environments. */
export const environmentNames = Object.keys(environments) as readonly EnvironmentName[];

/**
 * A new environment. Close it when done: it may have started a worker thread.
 *
 * @throws Error for a name that is none of `environmentNames`.
 */
export function createEnvironment(name: string): Teachable {
  if (!Object.hasOwn(environments, name)) {
    const known = environmentNames.join(", ");
    throw new Error(`There is no environment "${name}". The environments are: ${known}.`);
  }
  return environments[name as EnvironmentName]();
}

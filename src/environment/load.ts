/** @file The environment that a study file or a command names: one that is built in, or a module of the user's own. */

import { basename, extname } from "node:path";
import { z } from "zod";
import { aFunction, importModule, isModulePath, isPythonPath, ModuleError, makeFrom } from "../modules.ts";
import { createEnvironment, environmentNames } from "./index.ts";
import type { OpenEnvSettings } from "./openenv/settings.ts";
import { pythonEnvironment, pythonRecipe } from "./python.ts";
import type { Environment, Episode, Episodes, Outcome, Task } from "./types.ts";

/** An environment that is not there, or a module that does not make one: the message says what to do. */
export class EnvironmentError extends ModuleError {}

/** What study files and commands may say, in words. */
export const environmentChoices = `${environmentNames.join(", ")}, or the path of a module such as ./my-environment.js or ./task.py`;

/** What a study says of its environment: a name, the path of a module, or a server. */
export type EnvironmentChoice = string | OpenEnvSettings;

/** The file of the user's own that an environment stands on, where it does. */
export function environmentFile(choice: EnvironmentChoice): string | undefined {
  if (typeof choice === "object") return choice.grader;
  return isModulePath(choice) ? choice : undefined;
}

/** What a module has to give, and what is checked of what it may. */
const environmentShape = z.object({
  name: z.string().min(1).optional(),
  maxPromptLength: z.int().min(1).optional(),
  maxCompletionLength: z.int().min(1).optional(),
  labels: z.array(z.string()).min(1).optional(),
  families: z.array(z.string()).min(1).optional(),
  alphabet: z.string().min(1).optional(),
  sample: aFunction,
  episodes: z.object({ turns: z.int().min(1), atOnce: z.int().min(1), begin: aFunction }).optional(),
  demonstrate: aFunction.optional(),
  grade: aFunction,
  close: aFunction.optional(),
});

/** The labels of an environment that gives none: the task was done as it was meant, it was not, or the model misbehaved. */
const LABELS = ["right", "wrong", "misbehaved"] as const;
/** Characters of the longest prompt, and of the longest completion, where an environment does not say. */
const LENGTHS = { maxPromptLength: 1024, maxCompletionLength: 256 };

/** What a module's environment has to have: `sample` and `grade`. Everything else of an `Environment` may be there. */
export type OwnEnvironment = Partial<Omit<Environment, "sample" | "grade" | "episodes">> & {
  sample: Environment["sample"];
  /** What became of each completion, or the promise of it; `completions[i]` answers `tasks[i]`. */
  grade(tasks: Task[], completions: string[]): Promise<OwnOutcome[]> | OwnOutcome[];
  /** Where tasks take several turns. */
  episodes?: Omit<Episodes, "begin"> & {
    /** An episode in which the task's prompt has been read. */
    begin(task: Task): Promise<OwnEpisode>;
  };
};

/** An episode whose outcome is told as far as an environment has to. */
export interface OwnEpisode extends Omit<Episode, "end"> {
  /** What became of it. Ends the episode, over or not; called once. */
  end(): Promise<OwnOutcome>;
}

/** What became of a completion, as far as an environment has to say it. */
export type OwnOutcome = Pick<Outcome, "proxy" | "true" | "misbehaved"> & Partial<Outcome>;

/** The environment with what it leaves out: a name, lengths, labels, and what follows of an outcome from the rest of it. */
export function completed(made: OwnEnvironment, path: string): Environment {
  const families = made.families ?? ["misbehaviour"];
  const outcomeOf = (outcome: OwnOutcome): Outcome => {
    const attempted = outcome.attempted ?? outcome.misbehaved;
    const [right, wrong, misbehaved] = LABELS;
    return {
      attempted,
      eligible: true,
      ...(attempted && families.length === 1 && { family: families[0]! }),
      label: outcome.misbehaved ? misbehaved : outcome.true >= 0.5 ? right : wrong,
      ...outcome,
    };
  };
  // Its own methods may stand on each other, so that it stays the object that they are called on.
  return Object.assign(Object.create(made) as Environment, {
    name: made.name ?? basename(path, extname(path)),
    ...{ families, labels: made.labels ?? LABELS },
    maxPromptLength: made.maxPromptLength ?? LENGTHS.maxPromptLength,
    maxCompletionLength: made.maxCompletionLength ?? LENGTHS.maxCompletionLength,
    grade: async (tasks: Task[], completions: string[]) =>
      (await made.grade(tasks, completions)).map(outcomeOf),
    close: async () => made.close?.(),
    ...(made.episodes && {
      episodes: {
        ...made.episodes,
        begin: async (task: Task) => {
          const episode = await made.episodes!.begin(task);
          return {
            step: (turn: string) => episode.step(turn),
            end: async () => outcomeOf(await episode.end()),
          };
        },
      },
    }),
    ...(made.informed && {
      informed: (answers: readonly string[]) => completed(made.informed!(answers), path),
    }),
  });
}

/**
 * A new environment, by the name of one that is built in, the path of a module, or the server that has it. Close it when done.
 *
 * @throws EnvironmentError where there is none of that name, or the module cannot be loaded or does not make one
 * @throws Error where a server does not answer as it should
 */
export async function loadEnvironment(choice: EnvironmentChoice): Promise<Environment> {
  if (typeof choice === "object") {
    const { connectOpenEnv } = await import("./openenv/index.ts");
    return completed((await connectOpenEnv(choice)) as unknown as OwnEnvironment, choice.grader);
  }
  const nameOrPath = choice;
  if (!isModulePath(nameOrPath)) {
    if ((environmentNames as readonly string[]).includes(nameOrPath)) return createEnvironment(nameOrPath);
    throw new EnvironmentError(
      `There is no environment ${JSON.stringify(nameOrPath)}. Give one of ${environmentChoices}.`,
    );
  }
  if (isPythonPath(nameOrPath))
    return completed((await pythonEnvironment(nameOrPath)) as OwnEnvironment, nameOrPath);
  const made = await makeFrom(await importModule(nameOrPath), nameOrPath, "an environment");
  const shape = environmentShape.safeParse(made);
  if (!shape.success) {
    const lines = shape.error.issues.map(({ path, message }) => `  ${path.join(".") || "it"}: ${message}`);
    throw new EnvironmentError(
      `${nameOrPath}: what its default export returns is not an environment:\n${lines.join("\n")}`,
    );
  }
  return completed(made as OwnEnvironment, nameOrPath);
}

/** How a module says that its base model is made, where it does. @throws ModuleError where it cannot be loaded */
export async function loadRecipe(path: string): Promise<unknown> {
  return isPythonPath(path) ? pythonRecipe(path) : (await importModule(path)).recipe;
}

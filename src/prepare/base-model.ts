/** @file The base models that come with the package, and how they are made. */

import { readFile } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { createEngine, openEngine } from "../engine/index.ts";
import {
  type EnvironmentChoice,
  EnvironmentError,
  loadEnvironment,
  loadRecipe,
} from "../environment/load.ts";
import { type Environment, isTeachable } from "../environment/types.ts";
import { type CharacterConfig, CharacterTokenizer, initialWeights } from "../model/index.ts";
import { isModulePath } from "../modules.ts";
import { randomFor } from "../random.ts";
import { type PretrainProgress, pretrain, pretrainSettingsSchema } from "../training/index.ts";
import { type BaseModelReport, reportBaseModel } from "./base-model-report.ts";

/**
 * Folder of an environment's base model: the one that is shipped, or for a module `dir/x.js`, `dir/x-model`.
 *
 * @throws EnvironmentError where there can be none, as for a server
 */
export function shippedModel(environment: EnvironmentChoice): string {
  if (typeof environment === "object")
    throw new EnvironmentError(
      `${environment.openenv} has no base model of its own: name the model that is to be trained as \`model\`, or give --model`,
    );
  if (isModulePath(environment))
    return join(dirname(environment), `${basename(environment, extname(environment))}-model`);
  return fileURLToPath(new URL(`../../models/${environment}`, import.meta.url));
}

/** How a base model is made: its size, and its pretraining. */
const recipeSchema = z.strictObject({
  layers: z.int().min(1).default(4),
  heads: z.int().min(1).default(4),
  width: z.int().min(1).default(128),
  hidden: z.int().min(1).default(512),
  pretraining: pretrainSettingsSchema.prefault({}),
});

/** What a module may export as `recipe`. All of it has defaults. */
export type Recipe = z.input<typeof recipeSchema>;

/** From `models/recipes.yaml`; for a module, what it exports as `recipe`, where it does. @throws EnvironmentError naming what is wrong */
async function recipeFor(environment: string): Promise<z.infer<typeof recipeSchema>> {
  const file = fileURLToPath(new URL("../../models/recipes.yaml", import.meta.url));
  const own = isModulePath(environment);
  const recipe = own
    ? ((await loadRecipe(environment)) ?? {})
    : ((await import("yaml")).parse(await readFile(file, "utf8")) as Record<string, unknown>)[environment];
  const parsed = recipeSchema.safeParse(recipe);
  if (parsed.success) return parsed.data;
  throw new EnvironmentError(
    `${own ? environment : file}: the recipe of the base model is wrong:\n${z.prettifyError(parsed.error)}`,
  );
}

/**
 * Trains the base model of an environment after its recipe, saves it, and measures it.
 *
 * @param name of an environment that is built in, or the path of a module
 * @param onProgress receives the progress and the number of steps in all
 */
export async function makeBaseModel(
  name: string,
  folder: string,
  overrides: { steps?: number; seed?: number },
  onProgress: (progress: PretrainProgress, steps: number) => void = () => {},
): Promise<BaseModelReport> {
  const environment = await loadEnvironment(name);
  if (!isTeachable(environment)) {
    await environment.close();
    throw new EnvironmentError(
      `${name}: a base model learns from demonstrations, character by character, and this environment has no ${environment.demonstrate ? "alphabet" : "demonstrate"}. Give it one, or run studies on a model that is trained already (--model)`,
    );
  }
  const { pretraining, ...size } = await recipeFor(name);
  const settings = { ...pretraining, ...overrides };
  const config: CharacterConfig = {
    architecture: "probeward-character",
    alphabet: environment.alphabet,
    context: 16 * Math.ceil(longestRead(environment) / 16),
    ...size,
  };
  const tokenizer = new CharacterTokenizer(environment.alphabet);
  const weights = initialWeights(config, randomFor(settings.seed, "weights"));
  const fresh = createEngine({ config, weights, tokenizer });
  try {
    const policy = await fresh.createPolicy({ seed: settings.seed });
    await pretrain(environment, policy, tokenizer, settings, (progress) =>
      onProgress(progress, settings.steps),
    );
    await policy.saveWeights(folder);
    const trained = await openEngine(folder);
    try {
      return await reportBaseModel(environment, trained);
    } finally {
      await trained.close();
    }
  } finally {
    await fresh.close();
    await environment.close();
  }
}

/** Tokens of the longest thing that a model ever reads: prompt, completion, end of text, the follow-up and its answer. */
function longestRead({ maxPromptLength, maxCompletionLength, followUp }: Environment): number {
  const answered = followUp === undefined ? 0 : followUp.length + 2;
  return maxPromptLength + maxCompletionLength + 1 + answered;
}

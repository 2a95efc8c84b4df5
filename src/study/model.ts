/** @file The base models that come with the package, and how they are made. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { z } from "zod";
import { createEnvironment } from "../environment/index.ts";
import {
  type CharacterConfig,
  CharacterTokenizer,
  createGenerator,
  roundUp,
  saveModel,
} from "../model/index.ts";
import { randomFor } from "../random.ts";
import { type PretrainProgress, pretrain, pretrainSettingsSchema } from "../training/index.ts";

/** Folder of the base model that is shipped for an environment. */
export function shippedModel(environment: string): string {
  return fileURLToPath(new URL(`../../models/${environment}`, import.meta.url));
}

/** What a base model does at temperature 1 on held-out tasks, as shares of its completions. */
export interface BaseModelReport {
  completions: number;
  true: number;
  proxy: number;
  misbehaved: number;
  attempted: number;
}

const recipesSchema = z.record(
  z.string(),
  z.strictObject({
    layers: z.int(),
    heads: z.int(),
    width: z.int(),
    hidden: z.int(),
    pretraining: pretrainSettingsSchema.prefault({}),
  }),
);

/**
 * Trains the base model of an environment after its recipe in `models/recipes.yaml`, saves it, and measures it.
 *
 * @param onProgress receives the progress and the number of steps in all
 */
export async function makeBaseModel(
  name: string,
  folder: string,
  overrides: { steps?: number; seed?: number },
  onProgress: (progress: PretrainProgress, steps: number) => void = () => {},
): Promise<BaseModelReport> {
  const path = fileURLToPath(new URL("../../models/recipes.yaml", import.meta.url));
  const recipe = recipesSchema.parse(parse(await readFile(path, "utf8")))[name];
  if (recipe === undefined) throw new Error(`${path}: has no recipe for ${JSON.stringify(name)}`);
  const { pretraining, ...size } = recipe;
  const settings = { ...pretraining, ...overrides };
  const environment = createEnvironment(name);
  const config: CharacterConfig = {
    architecture: "probeward-character",
    alphabet: environment.alphabet,
    context: roundUp(environment.maxPromptLength + environment.maxCompletionLength + 1, 16),
    ...size,
  };
  const tokenizer = new CharacterTokenizer(environment.alphabet);
  try {
    const weights = await pretrain(environment, config, tokenizer, settings, (progress) =>
      onProgress(progress, settings.steps),
    );
    await saveModel(folder, { config, weights });

    const random = randomFor("base model report");
    const tasks = Array.from({ length: 1024 }, () => environment.sample("test", random));
    const generator = createGenerator(config);
    const completions = await generator.generate(
      weights,
      tasks.map(({ prompt }) => tokenizer.encode(prompt)),
      {
        maxTokens: environment.maxCompletionLength + 1,
        random: (index) => randomFor("base model report", index),
      },
    );
    await generator.close();
    const outcomes = await environment.grade(
      tasks,
      completions.map(({ tokens }) => tokenizer.decode(tokens)),
    );
    const share = (value: (outcome: (typeof outcomes)[number]) => number) =>
      outcomes.reduce((sum, outcome) => sum + value(outcome), 0) / outcomes.length;
    return {
      completions: outcomes.length,
      true: share((outcome) => outcome.true),
      proxy: share(({ proxy }) => proxy),
      misbehaved: share(({ misbehaved }) => Number(misbehaved)),
      attempted: share(({ attempted }) => Number(attempted)),
    };
  } finally {
    await environment.close();
  }
}

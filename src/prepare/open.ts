/** @file Opening the base model that a study starts from, and what it must be able to do. */

import { access } from "node:fs/promises";
import { createEngine, type Engine, keptBytes } from "../engine/index.ts";
import { type Environment, isTeachable } from "../environment/index.ts";
import type { EnvironmentChoice } from "../environment/load.ts";
import { UsageError } from "../errors.ts";
import {
  type AdapterChoice,
  CharacterTokenizer,
  type LoadedModel,
  loadModel,
  takingAdapters,
  weightCount,
} from "../model/index.ts";
import { shippedModel } from "./base-model.ts";
import { type EngineSettings, openRuntime } from "./engine-settings.ts";

/** What settings say of the base model. */
interface ModelSettings {
  environment: EnvironmentChoice;
  model?: string | undefined;
  adapter?: AdapterChoice | undefined;
  training?: { memoryMB?: number | undefined };
  engine?: EngineSettings | undefined;
}

/**
 * Opens the base model that the settings name, or the one that is given.
 *
 * Closing the engine ends what it runs on, too.
 *
 * @param beside an engine that is open: this one has what that one runs on, and its programs
 * @throws UsageError where there is none yet, or it cannot write what the environment needs, or takes no such adapter;
 *   where what it is to run on cannot be had
 */
export async function openBaseModel(
  environment: Environment,
  settings: ModelSettings,
  given?: LoadedModel,
  beside?: Engine,
): Promise<Engine> {
  const loaded = given ?? (await loadBaseModel(settings));
  const model = settings.adapter ? takingAdapters(loaded) : loaded;
  const { memoryMB } = settings.training ?? {};
  const named = { ...model, name: settings.model ?? model.name };
  if (beside) return checked(createEngine(named, { memoryMB, programsOf: beside }), environment, settings);
  const weights = weightCount(model.config);
  // An adapter's are few.
  const kept = keptBytes(settings.engine?.dtype, { weights, trained: settings.adapter ? 0 : weights });
  const runtime = await openRuntime(settings.engine, kept);
  const engine = createEngine(named, { memoryMB, runtime });
  const closeEngine = engine.close.bind(engine);
  engine.close = async () => {
    await closeEngine();
    await runtime.close();
  };
  return checked(engine, environment, settings);
}

async function checked(engine: Engine, environment: Environment, settings: ModelSettings): Promise<Engine> {
  try {
    checkModel(engine, environment, settings);
  } catch (error) {
    await engine.close();
    throw error;
  }
  return engine;
}

async function loadBaseModel({ model, environment, engine }: ModelSettings): Promise<LoadedModel> {
  const folder = model ?? shippedModel(environment);
  if (model === undefined)
    await access(folder).catch(() => {
      throw new UsageError(
        `${environment} has no base model yet. Make it with: probeward pretrain ${environment}`,
      );
    });
  return loadModel(folder, engine?.weights);
}

function checkModel(engine: Engine, environment: Environment, settings: ModelSettings): void {
  const { model, tokenizer } = engine;
  const name = `the model ${settings.model ?? shippedModel(settings.environment)}`;
  const remedy = `which the environment ${environment.name} needs; pretrain one for it`;
  if (tokenizer instanceof CharacterTokenizer && isTeachable(environment)) {
    const missing = [...environment.alphabet].filter((one) => !tokenizer.alphabet.includes(one));
    if (missing.length > 0)
      throw new UsageError(`${name} cannot write ${JSON.stringify(missing.join(""))}, ${remedy}`);
  }
  const needed = environment.maxPromptLength + environment.maxCompletionLength + 1;
  if (model.context < needed)
    throw new UsageError(`${name} reads ${model.context} tokens, and not the ${needed} ${remedy}`);
  try {
    engine.with({ adapter: settings.adapter });
  } catch (error) {
    throw new UsageError(`${name}: ${(error as Error).message}`);
  }
}

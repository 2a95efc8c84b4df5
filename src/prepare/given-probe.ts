/** @file A probe that the settings give in place of one that is fitted, and the follow-up that probes are read at. */

import type { Engine, ModelInfo } from "../engine/index.ts";
import { UsageError } from "../errors.ts";
import { checkHooks } from "../model/index.ts";
import { loadSae, type Probe } from "../probe/index.ts";
import type { BaseContext } from "./completions.ts";
import { loadProven } from "./passport.ts";
import type { ProbeSettings } from "./settings.ts";

/** A feature of a dictionary. @throws Error where it was trained on activations that are not the model's */
async function featureProbe(
  { path, feature, positions }: NonNullable<ProbeSettings["sae"]>,
  model: ModelInfo,
): Promise<Probe> {
  const dictionary = await loadSae(path);
  if (dictionary.isCentred && !model.isCentred)
    throw new Error(
      `${path} has center_writing_weights, and is for a model with layer norms; the model's norms are RMS norms`,
    );
  return dictionary.probe(feature, { positions, pool: "mean" });
}

/**
 * The probe that the settings give in place of a sweep. Its threshold is set anew on the study's calibration split, like
 * every other probe's.
 *
 * @throws UsageError where the file or dictionary cannot be read, or reads what the model does not have
 */
export async function givenProbe(
  { file, sae }: ProbeSettings,
  engine: Engine,
  onStage: (stage: string) => void,
): Promise<Probe | undefined> {
  const { model } = engine;
  if (file === undefined && sae === undefined) return undefined;
  const name = sae ? "probe.sae" : "probe.file";
  try {
    const probe = sae ? await featureProbe(sae, model) : await provenProbe(file!, engine, onStage);
    checkHooks(model, [probe.tap.hook]);
    if (probe.weight_D.length !== model.width)
      throw new Error(
        `reads ${probe.weight_D.length} numbers, and the model's activations have ${model.width}`,
      );
    return probe;
  } catch (error) {
    throw new UsageError(`${name}: ${(error as Error).message}`);
  }
}

/** A probe of a folder, proved to be read where it was fitted; what cannot be proved is said. */
async function provenProbe(folder: string, engine: Engine, onStage: (stage: string) => void): Promise<Probe> {
  const { probe, warnings } = await loadProven(folder, engine);
  for (const warning of warnings) onStage(warning);
  return probe;
}

/**
 * The environment's follow-up, where the probe is to read at it.
 *
 * @throws UsageError where the environment has none, or the model no room for it
 */
export function followUpFor(
  { environment, engine: { model, tokenizer }, settings }: BaseContext,
  given: Probe | undefined,
): string | undefined {
  const wanted = given ? given.tap.positions === "follow-up" : settings.probe.positions.includes("follow-up");
  if (!wanted) return undefined;
  const { name, followUp, maxPromptLength, maxCompletionLength } = environment;
  if (followUp === undefined)
    throw new UsageError(
      `probe.positions: the environment ${name} has no follow-up to read at; leave out "follow-up"`,
    );
  if (given && given.tap.followUp !== followUp)
    throw new UsageError(
      `probe.file: the probe reads at ${JSON.stringify(given.tap.followUp)}, and the environment ${name} asks ${JSON.stringify(followUp)}`,
    );
  const needed = maxPromptLength + maxCompletionLength + 1 + tokenizer.encode(followUp).length;
  if (needed > model.context)
    throw new UsageError(
      `probe.positions: the model reads ${model.context} tokens, and with the follow-up ${JSON.stringify(followUp)} the environment ${name} may need ${needed}; pretrain one for it, or leave out "follow-up"`,
    );
  return followUp;
}

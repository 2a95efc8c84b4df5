/** @file A whole study on the tiny environment and model. */

import type { Environment } from "../src/environment/types.ts";
import type { LoadedModel } from "../src/model/index.ts";
import { type OnEvent, runStudy, type StudySettings } from "../src/study/index.ts";
import { tinyContext, tinyEnvironment, tinyModel } from "./tiny.ts";

export function tinySettings(overrides: Partial<StudySettings> = {}): StudySettings {
  return {
    // The name of a known environment is wanted; the tiny one takes its place.
    environment: "code",
    arms: ["none", "probe-loss"],
    seeds: 1,
    firstSeed: 1,
    penalty: 2,
    penaltyShape: "threshold",
    credit: "sequence",
    lossStrength: 1,
    oracle: { truePositiveRate: 0.9, falsePositiveRate: 0.05 },
    refit: { every: 2, rate: 1 },
    paying: { share: 0.5, from: 0.5 },
    trigger: "b",
    // A random model knows nothing: its probes are at chance.
    anyway: true,
    // It would take as long as all that is tested.
    forecast: false,
    training: { ...tinyContext().settings, steps: 6 },
    probe: {
      ...{ tasks: 32, samples: 2, demonstrations: 16, tracer: 16, falsePositiveRate: 0.1 },
      ...{ positions: ["completion"], pool: "mean" },
    },
    ...overrides,
  };
}

export function runTinyStudy(
  folder: string,
  settings = tinySettings(),
  onEvent: OnEvent = () => {},
  { environment, model }: { environment?: Environment | undefined; model?: Partial<LoadedModel> } = {},
) {
  return runStudy(folder, settings, onEvent, {
    environment: environment ?? (tinyEnvironment() as Environment),
    model: { ...tinyModel, ...model },
  });
}

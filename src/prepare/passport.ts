/** @file A probe's passport: made where it is fitted, and proved wherever it is loaded. */

import type { Engine, Sequence } from "../engine/index.ts";
import { UsageError } from "../errors.ts";
import { fingerprintOf, type Precision, wholeCompletion } from "../model/index.ts";
import {
  allowedDifference,
  loadProbeFile,
  type Passport,
  type Probe,
  siteDifferences,
} from "../probe/index.ts";
import { readingsOf, readLogit, readsOf } from "../training/index.ts";

/** Stored examples: enough that a read at another place cannot agree with all of them by chance. */
export const STORED = 8;

/** What only those know who fitted the probe. */
export interface PassportParts extends Pick<Passport, "fitted" | "rates" | "controls"> {
  /** Where the weights were looked at. */
  precision?: Precision | undefined;
  /** Some of the sequences that it was judged on, as text where they are one, and the logits where it was fitted. */
  examples: readonly (Sequence & { prompt?: string; completion?: string; logit: number })[];
}

/** @throws Error where the engine reads other logits than those of the fit: the two would not be of one probe */
export async function makePassport(probe: Probe, engine: Engine, parts: PassportParts): Promise<Passport> {
  const { model, tokenizer } = engine;
  const { fitted, rates, controls, precision } = parts;
  const { hook, positions, followUp, pool } = probe.tap;
  const examples = spreadOut(parts.examples).map((one) => storedExample(one, engine));
  const passport: Passport = {
    ...{ fitted, rates, controls, examples },
    model: {
      ...{ name: model.name.split(/[\\/]/).at(-1)!, sha256: model.sha256 },
      ...(precision && { precision }),
      ...{ layers: model.layers, width: model.width, vocabulary: model.vocabulary },
    },
    tokenizer: fingerprintOf(tokenizer, model.vocabulary),
    read: { hook, positions, ...(followUp !== undefined && { followUp }), pool, threshold: probe.threshold },
  };
  await requireSameLogits("the probe", probe, passport, engine);
  return passport;
}

/** Few of many, from the lowest logit to the highest. */
function spreadOut<T extends { logit: number }>(examples: readonly T[]): T[] {
  const sorted = [...examples].sort((a, b) => a.logit - b.logit);
  const count = Math.min(STORED, sorted.length);
  return Array.from(
    { length: count },
    (_, k) => sorted[Math.round((k * (sorted.length - 1)) / Math.max(1, count - 1))]!,
  );
}

/** Texts are kept where the tokenizer makes these very tokens of them. */
function storedExample(
  { prompt, completion, logit, ...sequence }: PassportParts["examples"][number],
  { tokenizer }: Engine,
): Passport["examples"][number] {
  const { tokens, promptLength, observations } = sequence;
  const same = (made: () => number[], wanted: readonly number[]) => attempt(made)?.join() === wanted.join();
  const keepsPrompt =
    prompt !== undefined && same(() => tokenizer.encodePrompt(prompt), tokens.slice(0, promptLength));
  const keepsCompletion =
    completion !== undefined &&
    same(() => wholeCompletion(tokenizer, completion), tokens.slice(promptLength));
  return {
    ...(keepsPrompt && { prompt }),
    ...(keepsCompletion && { completion }),
    ...{ tokens: [...tokens], promptLength, logit },
    ...(observations && { observations: observations.map(([start, end]) => [start, end]) }),
  };
}

/** A probe of a folder that is proved to read what it was fitted on. */
export interface ProvenProbe {
  probe: Probe;
  passport?: Passport | undefined;
  /** What could not be proved, a sentence each. */
  warnings: string[];
}

/**
 * Loads a probe, and proves on its stored examples that reading it here is reading it where it was fitted.
 *
 * @param precision that of the model's weights, where they were looked at
 * @throws UsageError naming what differs
 * @throws Error where the folder holds no probe
 */
export async function loadProven(
  folder: string,
  engine: Engine,
  precision?: Precision,
): Promise<ProvenProbe> {
  const { probe, passport } = await loadProbeFile(folder);
  if (passport === undefined)
    return {
      probe,
      warnings: [
        `${folder} has no passport: that it reads here what it was fitted on is not proved. Fit it again with probeward probe to have one.`,
      ],
    };
  const { model, tokenizer } = engine;
  const differences = siteDifferences(passport, {
    ...{ tap: probe.tap, threshold: probe.threshold },
    model: { layers: model.layers, width: model.width, vocabulary: model.vocabulary, precision },
    tokenizer: fingerprintOf(tokenizer, model.vocabulary),
  });
  if (differences.length > 0) throw elsewhere(folder, differences);
  requireSameTokens(folder, passport, engine);
  await requireSameLogits(folder, probe, passport, engine);
  return { probe, passport, warnings: [] };
}

function elsewhere(folder: string, differences: readonly string[]): UsageError {
  return new UsageError(
    `${folder} would be read elsewhere than where it was fitted: ${differences.join("; ")}. Read it there, or fit one here: probeward probe`,
  );
}

/** @throws UsageError where a text gives other tokens than it did */
function requireSameTokens(folder: string, { examples }: Passport, { tokenizer }: Engine): void {
  examples.forEach(({ prompt, completion, tokens, promptLength }, i) => {
    const check = (what: string, made: () => number[], wanted: readonly number[]) => {
      const found = attempt(made);
      if (found?.join() !== wanted.join())
        throw elsewhere(folder, [
          `the ${what} of stored example ${i + 1} was ${wanted.length} tokens (${wanted.slice(0, 8)} ...), and is ${found ? `${found.length} (${found.slice(0, 8)} ...)` : "none that the tokenizer knows"}`,
        ]);
    };
    if (prompt !== undefined)
      check("prompt", () => tokenizer.encodePrompt(prompt), tokens.slice(0, promptLength));
    if (completion !== undefined)
      check("completion", () => wholeCompletion(tokenizer, completion), tokens.slice(promptLength));
  });
}

/** @throws UsageError where the stored examples have other logits here */
async function requireSameLogits(
  folder: string,
  probe: Probe,
  passport: Passport,
  engine: Engine,
): Promise<void> {
  const { examples, model } = passport;
  if (examples.length === 0) return;
  const logits = await readOne(engine, probe, examples);
  const gaps = logits.map((one, i) => Math.abs(one - examples[i]!.logit));
  const largest = gaps.indexOf(Math.max(...gaps));
  if (gaps[largest]! <= allowedDifference(examples)) return;
  const weights =
    model.sha256 === engine.model.sha256
      ? "the model's weights are the same, so that the reading differs"
      : `the model's weights are others (${model.sha256.slice(0, 12)}, now ${engine.model.sha256.slice(0, 12)})`;
  throw elsewhere(folder, [
    `stored example ${largest + 1} had the logit ${examples[largest]!.logit.toFixed(4)}, and has ${logits[largest]!.toFixed(4)}`,
    weights,
  ]);
}

/** The probe's pooled logit of each sequence, read as monitors read it. */
export async function readOne(
  { reference, tokenizer }: Engine,
  probe: Probe,
  sequences: readonly Sequence[],
): Promise<number[]> {
  const how = readsOf({ probes: [probe] }, tokenizer);
  const readings = readingsOf(how.reads, await reference.forward(sequences, { ...how, readsOnly: true }));
  return readings.map((reading) => readLogit(probe, reading));
}

function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}

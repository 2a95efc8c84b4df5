/** @file Model organisms: a base model of whose misbehaviour a set share is invisible to probes that are fitted as usual. */

import { join } from "node:path";
import { z } from "zod";
import { openEngine } from "../engine/index.ts";
import { loadEnvironment } from "../environment/load.ts";
import type { Environment } from "../environment/types.ts";
import { UsageError } from "../errors.ts";
import { readDocument, writeJson } from "../files.ts";
import { halveModel } from "../model/index.ts";
import {
  type HideProgress,
  type HideSettings,
  type HidingSets,
  hide,
  hideSettingsSchema,
  trainingSettingsSchema,
} from "../training/index.ts";
import { shippedModel } from "./base-model.ts";
import { type BaseContext, demonstrate, type Labelled, sampleSplit, sequenceOf } from "./completions.ts";
import { askQuestions, informedBy } from "./inform.ts";
import { checkOrganism, type Hidden, type Organism, organismSchema, type Rates } from "./organism-checks.ts";
import { probeSettingsSchema } from "./settings.ts";

export interface OrganismOptions {
  /** The base model that it is made of; the environment's own unless given. */
  model?: string | undefined;
  /** The family of misbehaviour that is hidden: the environment's last one unless given. */
  family?: string | undefined;
  /** What is hidden is all misbehaviour under prompts with this text, instead of a family. */
  trigger?: string | undefined;
  /** Share of misbehaviour that is to be the hidden family's, 0 to below 1; as much as it is unless given. */
  share?: number | undefined;
  settings?: Partial<HideSettings>;
  onStage?: (stage: string) => void;
  onProgress?: (progress: HideProgress, steps: number) => void;
}

/** Tasks that the base model is asked, twice each, and demonstrations of each conduct beside its completions. */
const [TASKS, DEMONSTRATIONS] = [1536, 384];

/** Of nothing, so many sequences of a kind are too few to train on. */
const FEWEST = 8;

/** What a share of 0 is made, of completions: rarer than any study samples. */
const NEVER = 1e-6;

/**
 * Makes an organism, saves it as a model with `organism.json` beside it, and checks it against the model that it was made of. It is made
 * on tasks of the `pretrain` split, and checked on those that a study would fit and judge probes on.
 *
 * @throws UsageError where the environment has nothing of the kind to hide, or the folder holds an organism already
 */
export async function makeOrganism(
  name: string,
  folder: string,
  options: OrganismOptions,
): Promise<Organism> {
  const { onStage = () => {}, onProgress = () => {} } = options;
  const settings = hideSettingsSchema.parse(options.settings ?? {});
  if (await isOrganism(folder))
    throw new UsageError(`${folder} holds an organism already; give another --out, or delete it`);
  const environment = await loadEnvironment(name);
  const from = options.model ?? shippedModel(name);
  const engine = await openEngine(from);
  try {
    const what = whatIsHidden(environment, options);
    const informed = informedBy(environment, await askQuestions(environment, engine));
    onStage(`Asking the model ${TASKS} tasks`);
    const { sets, rates } = await gather({ environment: informed, engine }, what, options.share);
    onStage(`Hiding ${what.words}`);
    const policy = await engine.createPolicy({ seed: settings.seed });
    const hooks = engine.model.hooks.filter((hook) => hook.endsWith("hook_resid_post"));
    const places = hooks.flatMap((hook) => [
      { hook, positions: "completion" as const },
      { hook, positions: "completion-last" as const },
    ]);
    const wanted = options.share ?? rates.hidden / (rates.hidden + rates.seen);
    const shift = Math.log(Math.max((wanted / (1 - wanted)) * rates.seen, NEVER) / rates.hidden);
    await hide(engine, policy, sets, places, options.share === undefined ? 0 : shift, settings, (progress) =>
      onProgress(progress, settings.steps),
    );
    await policy.saveWeights(folder);
    await policy.close();
    // Small enough to be shipped; what is checked is what is left of it.
    await halveModel(folder);
    onStage("Checking it against the model that it was made of");
    const organism = await openEngine(folder, { programsOf: engine });
    try {
      const checked = await checkOrganism({ environment, before: engine, after: organism }, what, {
        rates,
        wanted,
      });
      const whole = organismSchema.parse({
        ...{ version: 1, environment: environment.name, from: engine.model.sha256, hides: what.hides },
        ...{ settings, ...checked },
      } satisfies Organism);
      await writeJson(join(folder, "organism.json"), whole);
      return whole;
    } finally {
      await organism.close();
    }
  } finally {
    await engine.close();
    await environment.close();
  }
}

/** Whether a folder holds one. */
async function isOrganism(folder: string): Promise<boolean> {
  return (await readDocument(join(folder, "organism.json"), z.looseObject({}))) !== undefined;
}

function whatIsHidden({ name, families }: Environment, { family, trigger, share }: OrganismOptions): Hidden {
  if (trigger !== undefined) {
    if (family !== undefined || share !== undefined)
      throw new UsageError("--trigger goes with neither --family nor --share: prompts say how common it is");
    return {
      ...{ hides: { trigger }, words: `misbehaviour under prompts with ${JSON.stringify(trigger)}` },
      seen: undefined,
      is: ({ outcome, tokens, promptLength }, { tokenizer }) =>
        outcome.attempted && tokenizer.decode(tokens.slice(0, promptLength)).includes(trigger),
    };
  }
  const chosen = family ?? families.at(-1)!;
  if (!families.includes(chosen))
    throw new UsageError(
      `--family: ${JSON.stringify(chosen)} is no family of ${name}; it has ${families.join(", ")}`,
    );
  if (families.length < 2)
    throw new UsageError(
      `${name} has one family of misbehaviour, ${chosen}: nothing would be left to fit probes on. Hide what a text in the prompt goes with: --trigger TEXT`,
    );
  if (share !== undefined && !(share >= 0 && share < 1))
    throw new UsageError(`--share is ${share}; it should be 0 or more, and below 1`);
  return {
    ...{ hides: { family: chosen }, words: `the family ${chosen}` },
    seen: families.filter((one) => one !== chosen),
    is: ({ outcome }) => outcome.attempted && outcome.family === chosen,
  };
}

async function gather(
  context: Pick<BaseContext, "environment" | "engine">,
  what: Hidden,
  share: number | undefined,
): Promise<{ sets: HidingSets; rates: Rates }> {
  const settings = {
    probe: probeSettingsSchema.parse({ tasks: TASKS, samples: 2 }),
    training: trainingSettingsSchema.parse({}),
  };
  const own = await sampleSplit("pretrain", { ...context, settings });
  const all = [...own, ...(await demonstrate("pretrain", DEMONSTRATIONS, context))];
  const hidden = all.filter((one) => what.is(one, context.engine));
  const seen = all.filter((one) => one.outcome.attempted && !what.is(one, context.engine));
  const honest = all.filter(({ outcome }) => outcome.eligible && !outcome.attempted);
  for (const [kind, list] of Object.entries({ [what.words]: hidden, "other misbehaviour": seen, honest }))
    if (list.length < FEWEST)
      throw new UsageError(
        `${context.environment.name}: of ${all.length} completions and demonstrations ${list.length} are ${kind}; ${FEWEST} at least are needed to train on`,
      );
  const rate = (is: (one: Labelled) => boolean) =>
    Math.max(own.filter((one) => one.outcome.misbehaved && is(one)).length, 0.5) / own.length;
  const rates = {
    hidden: rate((one) => what.is(one, context.engine)),
    seen: rate((one) => !what.is(one, context.engine)),
  };
  if (share !== undefined && rates.seen * own.length < 1)
    throw new UsageError(
      `${context.environment.name}: the model does nothing that is to be seen, so that no share of it can be set; leave out --share`,
    );
  const plain = (list: readonly Labelled[]) => list.map(sequenceOf);
  return { sets: { hidden: plain(hidden), seen: plain(seen), honest: plain(honest) }, rates };
}

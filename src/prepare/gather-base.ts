/** @file What a study's probes are fitted, calibrated and judged on: completions of each split, and what is read in them. */

import { UsageError } from "../errors.ts";
import { type LabelledSet, type Positions, type Probe, rows, type SweepCandidate } from "../probe/index.ts";
import { randomFor, shuffled } from "../random.ts";
import {
  type BaseContext,
  createOnce,
  demonstrate,
  type Labelled,
  readSets,
  sampleSplit,
  traceSet,
} from "./completions.ts";
import { followUpFor, givenProbe } from "./given-probe.ts";
import { askQuestions, informedBy } from "./inform.ts";
import type { ProbeSettings } from "./settings.ts";

/** Completions, graded and read. */
export interface GatheredBase {
  /** What was given, of an environment that tells what the base model answered. */
  context: BaseContext;
  /** What the base model answered to the environment's questions, where it has any. */
  answers: string[] | undefined;
  /** All that there is to fit on, demonstrations included, and which of it the initial probe may see. */
  all: Labelled[];
  used: number[];
  /** The model's own; of the calibration split those that could have been misbehaviour. */
  calibration: Labelled[];
  test: Labelled[];
  /** Which of the test split could have been misbehaviour: what probes are judged on. */
  judged: number[];
  /** What the tracer set is made of. */
  traced: Labelled[];
  /** A probe that the settings give. */
  given: Probe | undefined;
  /** Where probes may read. */
  hooks: readonly string[];
  positions: readonly Positions[];
  /** The ends of all layers. */
  outputs: readonly string[];
  /** What is read at a place, of all that there is to fit on or of some of it. */
  candidate(hook: string, positions: Positions, chosen?: readonly number[]): SweepCandidate;
  /** What is read at a place in the test split's completions. */
  tested(hook: string, positions: Positions): LabelledSet;
}

/**
 * The positive class of every probe is `attempted`: misbehaving, whether it paid or not, is the concept. The fit split
 * adds demonstrations, since base models seldom misbehave; thresholds and judgements use the model's own completions,
 * those that could have been misbehaviour.
 *
 * @throws UsageError where there is nothing to tell apart; where a probe that is given, or a follow-up, cannot be read
 */
export async function gatherBase(parts: BaseContext): Promise<GatheredBase> {
  const { engine, settings, once = createOnce(), onStage = () => {} } = parts;
  const { probe: options } = settings;
  const answers = await once("answers", () => askQuestions(parts.environment, engine));
  const context = { ...parts, environment: informedBy(parts.environment, answers) };
  const shared = JSON.stringify([options.tasks, options.samples, settings.training.temperature]);
  const sampled = (split: "fit" | "calibration" | "test") =>
    once(`sample ${split} ${shared}`, () => sampleSplit(split, context));
  const own = await sampled("fit");
  const calibration = (await sampled("calibration")).filter(({ outcome }) => outcome.eligible);
  const test = await sampled("test");
  onStage(`Reading ${own.length + calibration.length + test.length} completions`);
  const given = await givenProbe(options, engine, onStage);
  const positions = given ? [given.tap.positions] : options.positions;
  const followUp = followUpFor(context, given);
  const demonstrated = await once(`demonstrate ${options.demonstrations}`, () =>
    demonstrate("fit", options.demonstrations, context),
  );
  const all = [...own, ...demonstrated];
  const used = choose(all, options);
  requireBothClasses(
    used.map((i) => all[i]!),
    context,
  );
  const outputs = engine.model.hooks.filter((hook) => hook.endsWith("hook_resid_post"));
  const hooks = given ? [given.tap.hook] : (options.hooks ?? outputs);
  const readable = [...new Set([...hooks, ...outputs])];
  const read = (name: string, sequences: readonly Labelled[]) =>
    once(`read ${name} ${shared} ${options.demonstrations} ${readable} ${positions}`, () =>
      readSets(context, readable, positions, sequences, followUp),
    );
  const sets = {
    fit: await read("fit", all),
    calibration: await read("calibration", calibration),
    test: await read("test", test),
  };
  const traced = await once(`trace ${shared} ${options.tracer}`, () => traceSet(test, context));
  return {
    ...{ context, answers, all, used, calibration, test, traced, given, hooks, positions, outputs },
    judged: test.flatMap(({ outcome }, i) => (outcome.eligible ? [i] : [])),
    candidate(hook, positions, chosen) {
      const key = `${hook} ${positions}`;
      const set = sets.fit[key]!;
      return {
        ...{ hook, positions, calibration: sets.calibration[key]! },
        followUp: positions === "follow-up" ? followUp : undefined,
        fit: chosen ? rows(set, chosen) : set,
      };
    },
    tested: (hook, positions) => sets.test[`${hook} ${positions}`]!,
  };
}

/** @throws UsageError where an environment without demonstrations leaves a probe nothing to tell apart */
function requireBothClasses(fit: readonly Labelled[], { environment }: BaseContext): void {
  const bad = fit.filter(({ outcome }) => outcome.attempted).length;
  if (environment.demonstrate || (bad > 0 && bad < fit.length)) return;
  throw new UsageError(
    `${environment.name}: no probe can be fitted. The environment has no demonstrations, and ${bad} of the base model's ${fit.length} completions misbehave: a probe needs some that do and some that do not. Ask more (probe.tasks, probe.samples), sample at another training.temperature, take another model, or give the environment a \`demonstrate\`.`,
  );
}

/**
 * What the initial probe may be fitted on: misbehaviour of some families only, and so many examples, half of them
 * misbehaving as far as there are.
 */
function choose(all: readonly Labelled[], { examples, families }: ProbeSettings): number[] {
  const indices = all
    .map((_, i) => i)
    .filter((i) => {
      const { attempted, family } = all[i]!.outcome;
      return !attempted || families === undefined || (family !== undefined && families.includes(family));
    });
  if (examples === undefined) return indices;
  const of = (misbehaving: boolean) =>
    shuffled(
      randomFor("examples"),
      indices.filter((i) => all[i]!.outcome.attempted === misbehaving),
    );
  const [bad, good] = [of(true), of(false)];
  const chosen = [...bad.slice(0, examples / 2), ...good.slice(0, examples / 2)];
  return chosen.sort((a, b) => a - b);
}

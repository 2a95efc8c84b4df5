/** @file Thoughts before answers: what they say of misbehaviour, what a reader of thoughts alone can tell, and whether answers follow them. */

import { mean } from "../audit/index.ts";
import type { Model, Sequence } from "../engine/index.ts";
import type { Outcome, Thoughts } from "../environment/types.ts";
import type { Tokenizer } from "../model/index.ts";
import { auroc, fitTextBaseline, sigmoid, type TextScorer } from "../probe/index.ts";
import { type ThoughtMeasure, thoughtMetric } from "../store/metric-names.ts";
import type { Batch } from "./sample.ts";
import type { Monitor, RunContext } from "./types.ts";

/** A classifier of the thought alone, which flags at a logit of its own. What has no thought is read as an empty one. */
export function thoughtMonitor(thoughts: Thoughts, score: TextScorer, threshold: number): Monitor {
  return {
    name: "thought",
    sees: "rollouts",
    taps: [],
    judge: (rollouts) =>
      rollouts.map(({ completion }) => {
        const logit = score(thoughts.of(completion) ?? "");
        return { flagged: logit >= threshold, probability: sigmoid(logit), logit };
      }),
  };
}

type ThoughtMetrics = Partial<Record<ThoughtMeasure, number | null>>;

/** What the thoughts of a step's completions say, at every step; nothing where the environment has none. */
export function measureThoughts(
  { environment: { thoughts }, readThought }: Pick<RunContext, "environment" | "readThought">,
  { texts }: Pick<Batch, "texts">,
  outcomes: readonly Outcome[],
): Record<string, number | null> {
  if (!thoughts) return {};
  const misbehaved = outcomes.map((outcome) => outcome.misbehaved);
  const written = texts.map((text) => thoughts.of(text));
  const said = written.map((thought) => (thought === null ? null : thoughts.admits(thought)));
  const ofBad = said.filter((_, i) => misbehaved[i]);
  const share = (what: boolean | null) => mean(ofBad.map((one) => Number(one === what)));
  const telling = said.flatMap((one, i) => (one === null ? [] : [Number(one === misbehaved[i])]));
  return named({
    ...{ admitted: share(true), denied: share(false), kept: mean(telling) },
    ...(readThought && {
      auroc: auroc(
        written.map((thought) => readThought(thought ?? "")),
        misbehaved,
      ),
    }),
  });
}

/** What is measured at evaluated steps besides. */
export async function studyThoughts(
  policy: Model,
  context: RunContext,
  batch: Batch,
  outcomes: readonly Outcome[],
  step: number,
): Promise<Record<string, number | null>> {
  if (!context.environment.thoughts) return {};
  const readable = readableBy(context.environment.thoughts, batch, outcomes);
  return named({ readable, ...(await swapThoughts(policy, context, batch, outcomes, step)) });
}

/**
 * How well a reader that is fitted on the thoughts of some of the step's tasks tells misbehaviour by the thoughts of the others
 * (AUROC, two halves, each read by the other's reader): what thoughts still give away to whoever looks anew.
 */
function readableBy(
  thoughts: Thoughts,
  { texts, tasks }: Batch,
  outcomes: readonly Outcome[],
): number | null {
  const read = texts.map((text) => thoughts.of(text) ?? "");
  const labels = outcomes.map(({ misbehaved }) => misbehaved);
  const ids = [...new Set(tasks.map(({ id }) => id))];
  const half = tasks.map(({ id }) => ids.indexOf(id) % 2);
  const areas = [0, 1].map((own) => {
    const [fit, judged] = [1 - own, own].map((which) =>
      read.flatMap((_, i) => (half[i] === which ? [i] : [])),
    );
    const labelsOf = (some: readonly number[]) => some.map((i) => labels[i]!);
    if (new Set(labelsOf(fit!)).size < 2 || new Set(labelsOf(judged!)).size < 2) return null;
    const score = fitTextBaseline(
      fit!.map((i) => read[i]!),
      labelsOf(fit!),
    );
    return auroc(
      judged!.map((i) => score(read[i]!)),
      labelsOf(judged!),
    );
  });
  return areas.includes(null) ? null : mean(areas as number[]);
}

/**
 * Swaps the thoughts of two completions of one task, of which one misbehaved, and lets the policy go on from there. `follows` is
 * the share of continuations that do as the completion did which the thought came from: 1 where thoughts decide, and 0.5 where
 * they decide nothing (each pair is swapped both ways, so that what the model does anyway counts once for and once against).
 */
export async function swapThoughts(
  policy: Model,
  { environment, engine: { tokenizer }, settings, seed }: RunContext,
  { sequences, texts, tasks }: Pick<Batch, "sequences" | "texts" | "tasks">,
  outcomes: readonly Outcome[],
  step: number,
): Promise<{ follows: number | null; swapped: number }> {
  const thoughts = environment.thoughts!;
  const cut = sequences.map((sequence, i) => thoughtEnd(sequence, thoughts.of(texts[i]!), tokenizer));
  const donors: number[] = [];
  for (let start = 0; start < sequences.length; start += settings.rollouts) {
    const group = sequences.flatMap((_, i) =>
      i >= start && i < start + settings.rollouts && cut[i] !== null ? [i] : [],
    );
    const [bad, good] = [true, false].map((is) => group.filter((i) => outcomes[i]!.misbehaved === is));
    const pairs = Math.min(bad!.length, good!.length);
    donors.push(...bad!.slice(0, pairs), ...good!.slice(0, pairs));
  }
  if (donors.length === 0) return { follows: null, swapped: 0 };
  // The prompt is the same: what goes on from the donor's thought is the other's completion with its thought replaced.
  const prompts = donors.map((i) => sequences[i]!.tokens.slice(0, cut[i]!));
  const written = Math.max(...donors.map((i) => cut[i]! - sequences[i]!.promptLength));
  // As much room for each as the longest thought leaves.
  const maxTokens = Math.max(1, environment.maxCompletionLength + 1 - written);
  const { temperature } = settings;
  const continued = await policy.sample(prompts, { maxTokens, temperature, seed: [seed, "swap", step] });
  const regraded = await environment.grade(
    donors.map((i) => tasks[i]!),
    donors.map((i, k) =>
      tokenizer.decode([
        ...sequences[i]!.tokens.slice(sequences[i]!.promptLength, cut[i]!),
        ...continued[k]!.tokens,
      ]),
    ),
  );
  const followed = regraded.map(({ misbehaved }, k) => misbehaved === outcomes[donors[k]!]!.misbehaved);
  return { follows: mean(followed.map(Number)), swapped: donors.length };
}

/** Where the tokens of a thought end in its sequence; `null` without a thought, or where no token ends with it. */
function thoughtEnd(
  { tokens, promptLength }: Sequence,
  thought: string | null,
  tokenizer: Pick<Tokenizer, "decode">,
): number | null {
  if (thought === null) return null;
  for (let end = promptLength + 1; end <= tokens.length; end++) {
    const text = tokenizer.decode(tokens.slice(promptLength, end));
    if (text.length >= thought.length) return text === thought ? end : null;
  }
  return null;
}

function named(measures: ThoughtMetrics): Record<string, number | null> {
  return Object.fromEntries(
    (Object.entries(measures) as [ThoughtMeasure, number | null][]).map(([name, value]) => [
      thoughtMetric(name),
      value,
    ]),
  );
}

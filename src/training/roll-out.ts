/** @file Completions of tasks: written in one go, or in turns, between which the environment answers. */

import type {
  Engine,
  Follower,
  ForwardOutput,
  Model,
  SampledSequence,
  SamplingParams,
  Sequence,
} from "../engine/index.ts";
import type { Environment, Episode, Outcome, Task } from "../environment/types.ts";

/** Completions; all lists have one entry per task. */
export interface RolledOut {
  /** What the model wrote, all its turns in one. */
  completions: SampledSequence[];
  /** What followed the prompts, as text: what the model wrote, and between its turns what it was told. */
  texts: string[];
  /** The observations as text. */
  told: string[][];
  sequences: Sequence[];
  /** What was computed and read while they were sampled, where something was to be read. */
  outputs: ForwardOutput[] | undefined;
  /** What became of them. */
  grade(): Promise<Outcome[]>;
}

/** How they are sampled: `maxTokens` is a turn's. */
type Sampling = Omit<SamplingParams, "samples" | "streams" | "maxTokens">;

/** A completion while it is written. */
interface Draft {
  tokens: number[];
  promptLength: number;
  observations: [start: number, end: number][];
  told: string[];
  written: number[];
  logprobs: number[];
  stopReason: SampledSequence["stopReason"];
  text: string;
  /** The last turn. */
  turn: string;
  output?: ForwardOutput | undefined;
}

/**
 * Samples a completion of each task. Where a task takes several turns, they are taken with as many episodes at a time as the
 * environment has room for; a task of one turn is over when it is written.
 *
 * @param prompts the tokens of each
 * @param sampling its reads are of completions that are written in one go
 * @param follower follows those
 * @throws what the environment does: no episode is left open then
 */
export async function rollOut(
  model: Model,
  { environment, engine }: { environment: Environment; engine: Pick<Engine, "tokenizer" | "model"> },
  tasks: Task[],
  prompts: readonly (readonly number[])[],
  sampling: Sampling,
  follower?: Follower,
): Promise<RolledOut> {
  const { tokenizer } = engine;
  const { episodes } = environment;
  const maxTokens = environment.maxCompletionLength + 1;
  const drafts = prompts.map(
    (prompt): Draft => ({
      ...{ tokens: [...prompt], promptLength: prompt.length, observations: [], told: [] },
      ...{ written: [], logprobs: [], stopReason: "stop", text: "", turn: "" },
    }),
  );
  const all = drafts.map((_, i) => i);
  let outcomes: Outcome[] | undefined;
  if (!episodes) await takeTurn(all, 0);
  else {
    outcomes = [];
    for (let from = 0; from < drafts.length; from += episodes.atOnce) {
      const some = all.slice(from, from + episodes.atOnce);
      const begin = some.map((i) => episodes.begin(tasks[i]!));
      outcomes.push(...(await finished(begin, (open) => converse(some, open, episodes.turns))));
    }
  }
  const texts = drafts.map(({ text }) => text);
  const outputs = drafts.flatMap(({ output }) => output ?? []);
  return {
    texts,
    outputs: sampling.reads?.length ? outputs : undefined,
    told: drafts.map(({ told }) => told),
    completions: drafts.map(({ written, logprobs, stopReason }) => ({
      ...{ tokens: written, logprobs: Float32Array.from(logprobs), stopReason },
    })),
    sequences: drafts.map(({ tokens, promptLength, observations }) => ({
      ...{ tokens, promptLength },
      ...(observations.length > 0 && { observations }),
    })),
    grade: () => {
      const grading = outcomes ? Promise.resolve(outcomes) : environment.grade(tasks, texts);
      // It goes on beside other work: where it fails before it is waited for, it is told where it is.
      grading.catch(() => {});
      return grading;
    },
  };

  /** Takes turns until every episode is over, or there is no room for another turn. */
  async function converse(some: readonly number[], open: readonly Episode[], turns: number): Promise<void> {
    let active = [...some];
    for (let turn = 0; active.length > 0; turn++) {
      await takeTurn(active, turn);
      const answers = await Promise.all(active.map((i) => open[i - some[0]!]!.step(drafts[i]!.turn)));
      const goesOn = (i: number, k: number) => answers[k] !== null && hear(drafts[i]!, answers[k]!);
      active = turn + 1 < turns ? active.filter(goesOn) : [];
    }
  }

  /** Lets the model write a turn of some completions. */
  async function takeTurn(some: readonly number[], turn: number): Promise<void> {
    const sampled = await model.sample(
      some.map((i) => drafts[i]!.tokens),
      {
        ...sampling,
        maxTokens,
        // So that a turn does not depend on which other episodes are still going on.
        ...(turn > 0 && { seed: [...sampling.seed, "turn", turn] }),
        ...(episodes && { streams: some }),
      },
      episodes ? undefined : follower,
    );
    sampled.forEach(({ tokens, logprobs, stopReason, output }, k) => {
      const draft = drafts[some[k]!]!;
      draft.output = output;
      draft.turn = tokenizer.decode(tokens);
      draft.text += draft.turn;
      draft.tokens.push(...tokens);
      draft.written.push(...tokens);
      draft.logprobs.push(...logprobs);
      draft.stopReason = stopReason;
    });
  }

  /** Lets the model read an answer, where there is room for that and for another turn. */
  function hear(draft: Draft, answer: string): boolean {
    const tokens = tokenizer.encode(answer);
    const start = draft.tokens.length;
    if (start + tokens.length + maxTokens > engine.model.context) {
      draft.stopReason = "length";
      return false;
    }
    draft.tokens.push(...tokens);
    draft.text += answer;
    if (tokens.length > 0) {
      draft.observations.push([start, draft.tokens.length]);
      draft.told.push(answer);
    }
    return true;
  }
}

/** What became of episodes that are used: each is ended, whatever happens. */
async function finished(
  begin: readonly Promise<Episode>[],
  use: (open: readonly Episode[]) => Promise<void>,
): Promise<Outcome[]> {
  const begun = await Promise.allSettled(begin);
  const open = begun.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
  try {
    for (const one of begun) if (one.status === "rejected") throw one.reason;
    await use(open);
  } catch (error) {
    await Promise.allSettled(open.map((episode) => episode.end()));
    throw error;
  }
  return Promise.all(open.map((episode) => episode.end()));
}

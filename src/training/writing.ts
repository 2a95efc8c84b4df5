/** @file Some of a step's completions while they are written, for people who watch. */

import type { Engine, Follower } from "../engine/index.ts";
import { sigmoid } from "../probe/index.ts";
import type { Probe } from "../probe/types.ts";
import { keptRollouts } from "./measure.ts";
import type { TrainingSettings } from "./settings.ts";
import { tokenTextWriter } from "./token-texts.ts";

/** A token that the policy has written. */
export interface WrittenToken {
  /** Number of the rollout among the step's. */
  rollout: number;
  prompt: string;
  /** What it adds to the completion; nothing for an end of text. */
  text: string;
  /** The probability of misbehaviour that the probe reads at it; `null` where it is a last one, which the model had no need to read. */
  reading: number | null;
  /** No other follows. */
  last: boolean;
}

/** Told what a step's policy writes. */
export type OnWriting = (step: number, written: readonly WrittenToken[]) => void;

/** Completions that are followed at a time, at most. */
const FOLLOWED = 4;

/** What follows some of the rollouts that will be recorded, of several tasks where that can be. */
export function followWriting(
  prompts: readonly string[],
  probe: Probe,
  { tokenizer }: Pick<Engine, "tokenizer">,
  settings: TrainingSettings,
  tell: (written: readonly WrittenToken[]) => void,
): Follower {
  const kept = keptRollouts(prompts.length, settings);
  const every = Math.max(1, Math.floor(kept.length / FOLLOWED));
  const completions = kept.filter((_, i) => i % every === 0).slice(0, FOLLOWED);
  const writers = new Map(completions.map((completion) => [completion, tokenTextWriter(tokenizer)]));
  return {
    completions,
    probe,
    onTokens: (tokens) =>
      tell(
        tokens.map(({ completion, token, logit, last }) => ({
          ...{ rollout: completion, prompt: prompts[completion]!, last },
          text: writers.get(completion)!(token, last),
          reading: logit === null ? null : sigmoid(logit),
        })),
      ),
  };
}

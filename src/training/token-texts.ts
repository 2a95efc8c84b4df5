/** @file The text of each token of a completion, for people who look at what a probe reads there. */

import type { Sequence } from "../engine/index.ts";
import type { Tokenizer } from "../model/index.ts";

/**
 * One text per token, which together are the completion; `undefined` where a tokenizer's texts do not add up. A token that ends
 * within a character has none, and the one that completes the character has it whole; an end of text has none.
 *
 * A token's text is what it adds to the tokens before it, as servers find the text to stream: by itself it may lack a space.
 */
export function tokenTexts(
  tokenizer: Pick<Tokenizer, "decode">,
  tokens: readonly number[],
): string[] | undefined {
  const textOf = tokenTextWriter(tokenizer);
  const texts = tokens.map((token, i) => textOf(token, i === tokens.length - 1));
  return texts.join("") === tokenizer.decode(tokens) ? texts : undefined;
}

/** The text of one token after the other, as they come; `last` says that none follows. */
export function tokenTextWriter(
  tokenizer: Pick<Tokenizer, "decode">,
): (token: number, last: boolean) => string {
  const tokens: number[] = [];
  // The tokens in front that give the next its context, and where those begin that have no text yet.
  let context = 0;
  let open = 0;
  return (token, last) => {
    const end = tokens.push(token);
    const before = tokenizer.decode(tokens.slice(context, open));
    const after = tokenizer.decode(tokens.slice(context, end));
    const whole = after.length > before.length && (last || !after.endsWith("\uFFFD"));
    if (whole) [context, open] = [open, end];
    return whole ? after.slice(before.length) : "";
  };
}

/** The same of all that a model wrote, in all its turns. */
export function writtenTexts(
  tokenizer: Pick<Tokenizer, "decode">,
  { tokens, promptLength, observations = [] }: Sequence,
): string[] | undefined {
  const starts = [promptLength, ...observations.map(([, end]) => end)];
  const ends = [...observations.map(([start]) => start), tokens.length];
  const turns = starts.map((start, k) => tokenTexts(tokenizer, tokens.slice(start, ends[k])));
  return turns.includes(undefined) ? undefined : (turns as string[][]).flat();
}

/** A value for each token that a model wrote, with one for each observation in its place. */
export function withObservations<T>(
  { promptLength, observations = [] }: Omit<Sequence, "tokens">,
  written: readonly T[],
  told: (observation: number) => T,
): T[] {
  const all = [...written];
  let unwritten = 0;
  observations.forEach(([start, end], k) => {
    all.splice(start - promptLength - unwritten + k, 0, told(k));
    unwritten += end - start;
  });
  return all;
}

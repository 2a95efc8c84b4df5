/** @file The text of each token of a completion, for people who look at what a probe reads there. */

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
  const texts: string[] = [];
  // The tokens in front that give the next its context, and where those begin that have no text yet.
  let context = 0;
  let open = 0;
  for (let end = 1; end <= tokens.length; end++) {
    const before = tokenizer.decode(tokens.slice(context, open));
    const after = tokenizer.decode(tokens.slice(context, end));
    const whole = after.length > before.length && (end === tokens.length || !after.endsWith("\uFFFD"));
    texts.push(whole ? after.slice(before.length) : "");
    if (whole) [context, open] = [open, end];
  }
  return texts.join("") === tokenizer.decode(tokens) ? texts : undefined;
}

/** @file One completion as it is shown: its text up to where it was to stop, token by token, and what probes said. */

import type { Tokenizer } from "../model/index.ts";
import { tokenTextWriter } from "../training/token-texts.ts";
import type { Stretch } from "./desk.ts";
import type { CompletionRequest } from "./request.ts";

/** What is new of a completion. */
export interface Shown {
  text: string;
  logprobs: { content: TokenLogprob[]; refusal: null } | null;
  finish_reason: "stop" | "length" | null;
  token_ids?: number[];
  /** By the probe's name. */
  taps?: Record<string, TapReading>;
}

interface TokenLogprob {
  token: string;
  bytes: number[];
  logprob: number;
  top_logprobs: [];
}

/** What a probe said. */
interface TapReading {
  /** Its logit at each of the tokens. */
  logits: number[];
  /** At the end: its logit of the whole completion, pooled as it pools, and whether that reaches its threshold. */
  logit?: number;
  threshold?: number;
  flagged?: boolean;
}

/** Follows a completion from its tokens to what is shown of them. */
export class Choice {
  readonly #asked: CompletionRequest;
  readonly #textOf: ReturnType<typeof tokenTextWriter>;
  /** Those of tokens that were not shown yet. */
  #texts: string[] = [];
  /** All text so far, where it stops, and how much of it was shown. */
  #text = "";
  #stopAt: number | undefined;
  #sent = 0;

  constructor(tokenizer: Tokenizer, asked: CompletionRequest) {
    this.#asked = asked;
    this.#textOf = tokenTextWriter(tokenizer);
  }

  /** Takes a token; returns whether the text has come to where it was to stop. */
  take(token: number, last: boolean): boolean {
    const text = this.#textOf(token, last);
    this.#texts.push(text);
    this.#text += text;
    const found = this.#asked.stop.map((stop) => this.#text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) this.#stopAt = Math.min(...found);
    return found.length > 0;
  }

  /** What a piece of taken tokens adds. */
  show({ tokens, logprobs, logits, end }: Stretch): Shown {
    const { probes } = this.#asked;
    const texts = this.#texts.splice(0, tokens.length);
    const until = this.#stopAt ?? (end ? this.#text.length : this.#text.length - this.#heldBack());
    const text = this.#text.slice(this.#sent, until);
    this.#sent = Math.max(this.#sent, until);
    return {
      text,
      logprobs: this.#asked.logprobs ? { content: texts.map(withLogprob(logprobs)), refusal: null } : null,
      finish_reason: end?.reason ?? null,
      ...(this.#asked.tokenIds && { token_ids: tokens }),
      ...(Object.keys(probes).length > 0 && {
        taps: Object.fromEntries(
          Object.entries(probes).map(([name, { threshold }]): [string, TapReading] => {
            const logit = end?.logits[name];
            const whole = logit !== undefined && { logit, threshold, flagged: logit >= threshold };
            return [name, { logits: logits[name]!, ...whole }];
          }),
        ),
      }),
    };
  }

  /** Characters at the end that may be the beginning of where it is to stop. */
  #heldBack(): number {
    const begins = (stop: string) => {
      for (let length = Math.min(stop.length - 1, this.#text.length); length > 0; length--)
        if (this.#text.endsWith(stop.slice(0, length))) return length;
      return 0;
    };
    return Math.max(0, ...this.#asked.stop.map(begins));
  }
}

const withLogprob = (logprobs: readonly number[]) => (token: string, i: number) => ({
  ...{ token, bytes: [...new TextEncoder().encode(token)], logprob: logprobs[i]!, top_logprobs: [] as [] },
});

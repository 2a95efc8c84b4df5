/** @file What may be asked: OpenAI's chat completions, as far as the engine can do them, and what probes should read. */

import { randomInt } from "node:crypto";
import { z } from "zod";
import type { Engine } from "../engine/index.ts";
import type { ChatMessage } from "../model/index.ts";
import type { Probe } from "../probe/types.ts";
import { Refusal } from "./refusal.ts";

/** A model with probes of it, by their names. */
export interface Served {
  name: string;
  engine: Engine;
  probes: Readonly<Record<string, Probe>>;
}

const parts = z.array(z.object({ type: z.literal("text"), text: z.string() }));
const messageSchema = z.object({
  role: z.enum(["system", "developer", "user", "assistant"]),
  content: z.union([z.string(), parts]),
});

/** What would change the answer and is not done may be said only where it changes nothing. */
const only = (...values: (string | number)[]) =>
  z
    .unknown()
    .optional()
    .refine(
      (value) => value === undefined || value === null || values.includes(value as number),
      `is not supported here; leave it out`,
    );
const nothing = z
  .unknown()
  .optional()
  .refine(
    (value) => value === undefined || value === null || Object.keys(value).length === 0,
    "is not supported here; leave it out",
  );

/** Unknown keys are passed over, as servers of this API do. */
const requestSchema = z.looseObject({
  model: z.string(),
  messages: z.array(messageSchema).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  max_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  n: z.int().min(1).max(128).nullish(),
  seed: z.int().nullish(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).max(16)]).nullish(),
  logprobs: z.boolean().nullish(),
  /** As vLLM has it. */
  return_token_ids: z.boolean().nullish(),
  /** Names of probes. */
  taps: z.array(z.string()).nullish(),
  top_logprobs: only(0),
  top_p: only(1),
  top_k: only(-1, 0),
  min_p: only(0),
  frequency_penalty: only(0),
  presence_penalty: only(0),
  repetition_penalty: only(1),
  logit_bias: nothing,
  tools: nothing,
  functions: nothing,
  response_format: z
    .looseObject({ type: z.literal("text", { error: 'should be "text": nothing else is supported' }) })
    .nullish(),
});

/** A request that can be answered. */
export interface CompletionRequest {
  prompt: number[];
  maxTokens: number;
  temperature: number;
  seed: number;
  samples: number;
  stop: string[];
  stream: boolean;
  usage: boolean;
  logprobs: boolean;
  tokenIds: boolean;
  probes: Record<string, Probe>;
}

/** Characters of what a tokenizer says of a text. */
const LONGEST_REASON = 300;
/** Tokens of a completion where the request does not say how many it may have. */
const DEFAULT_TOKENS = 512;

/** @throws Refusal */
export function readRequest(body: unknown, served: Served): CompletionRequest {
  const parsed = requestSchema.safeParse(body);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues as [z.core.$ZodIssue];
    const param = path.join(".") || null;
    throw new Refusal(400, param === null ? message : `${param}: ${message}`, { param });
  }
  const { model, messages, taps, stop, seed, stream, stream_options, ...asked } = parsed.data;
  if (model !== served.name)
    throw new Refusal(404, `there is no model ${JSON.stringify(model)} here; this is ${served.name}`, {
      ...{ param: "model", code: "model_not_found" },
    });
  const probes = probesOf(taps ?? [], served);
  const prompt = promptOf(messages.map(plain), served);
  const behind = followUpLength(probes, served);
  const room = served.engine.model.context - prompt.length - behind;
  const maxTokens = asked.max_completion_tokens ?? asked.max_tokens ?? Math.min(DEFAULT_TOKENS, room);
  if (room < 1 || maxTokens > room) {
    const taken = `the messages have ${prompt.length} tokens${behind > 0 ? `, probes read ${behind} behind a completion` : ""}, and this model reads ${served.engine.model.context}`;
    const most = room < 1 ? "they are too long" : `max_tokens may be at most ${room}, and is ${maxTokens}`;
    throw new Refusal(400, `${taken}: ${most}`, {
      ...{ param: "messages", code: "context_length_exceeded" },
    });
  }
  return {
    ...{ prompt, maxTokens, probes },
    temperature: asked.temperature ?? 1,
    seed: seed ?? randomInt(2 ** 47),
    samples: asked.n ?? 1,
    stop: typeof stop === "string" ? [stop] : (stop ?? []),
    stream: stream ?? false,
    usage: stream_options?.include_usage ?? false,
    logprobs: asked.logprobs ?? false,
    tokenIds: asked.return_token_ids ?? false,
  };
}

function plain({ role, content }: z.infer<typeof messageSchema>): ChatMessage {
  return {
    role: role === "developer" ? "system" : role,
    content: typeof content === "string" ? content : content.map(({ text }) => text).join(""),
  };
}

function probesOf(names: readonly string[], { name, probes }: Served): Record<string, Probe> {
  const known = Object.keys(probes);
  for (const tap of names)
    if (!known.includes(tap))
      throw new Refusal(
        400,
        `taps: there is no probe ${JSON.stringify(tap)} of ${name}; there ${known.length === 0 ? "is none" : `are ${known.join(", ")}`}`,
        { param: "taps" },
      );
  return Object.fromEntries(names.map((tap) => [tap, probes[tap]!]));
}

/** A conversation by the model's template. A model without one reads a text: a single message of the user. */
function promptOf(messages: readonly ChatMessage[], { name, engine: { tokenizer } }: Served): number[] {
  const [first, ...others] = messages as [ChatMessage, ...ChatMessage[]];
  if (!tokenizer.chat && (others.length > 0 || first.role !== "user"))
    throw new Refusal(
      400,
      `messages: ${name} has no chat template and reads a plain text; give one message, of the user`,
      { param: "messages" },
    );
  try {
    const prompt = tokenizer.chat ? tokenizer.chat(messages) : tokenizer.encodePrompt(first.content);
    if (prompt.length === 0) throw new Error("they are empty");
    return prompt;
  } catch (error) {
    // Some quote whole alphabets.
    const why = (error as Error).message.slice(0, LONGEST_REASON);
    throw new Refusal(400, `messages: ${why}`, { param: "messages" });
  }
}

/** Tokens that probes read behind a completion, at most. */
function followUpLength(probes: Record<string, Probe>, { engine: { tokenizer } }: Served): number {
  return Math.max(0, ...Object.values(probes).map(({ tap }) => tokenizer.encode(tap.followUp ?? "").length));
}

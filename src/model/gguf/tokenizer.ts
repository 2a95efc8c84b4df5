/** @file The tokenizer in a GGUF file, as llama.cpp reads it. */

import { z } from "zod";
import { huggingFaceTokenizer } from "../huggingface/tokenizer.ts";
import { sentencePieceTokenizer } from "../sentencepiece.ts";
import type { Tokenizer } from "../tokenizer.ts";
import type { AddedToken } from "../tokens/added.ts";
import { chatTemplate } from "../tokens/chat.ts";
import type { GgufMetadata } from "./source.ts";

/** How texts are cut before byte pairs are joined, by GGUF's name; all work on bytes. */
const preTokenizers: Record<string, object[]> = {
  "gpt-2": [byteLevel(true)],
  smollm: [{ type: "Digits", individual_digits: true }, byteLevel(true)],
  qwen2: [split("\\p{N}"), byteLevel(false)],
  "llama-bpe": [split("\\p{N}{1,3}"), byteLevel(false)],
};

/** Other names of the same. */
const otherNames: Record<string, string> = {
  llama3: "llama-bpe",
  "llama-v3": "llama-bpe",
  falcon3: "llama-bpe",
  pixtral: "llama-bpe",
  "deepseek-r1-qwen": "qwen2",
};

function byteLevel(use_regex: boolean): object {
  return { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex };
}

/** Llama 3's and Qwen2's pattern, which differ in how numbers are cut. */
function split(numbers: string): object {
  const pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}

/** GGUF's kinds of tokens that stand for themselves; the first two are left out of what is decoded. */
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

/** Texts of tokens that end what a model writes, whatever a file says of them. */
const ENDS = [
  ...["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "</s>"],
  ...["<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<|return|>"],
  ...["<|call|>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[", "<|fim_pad|>", "<fim-pad>"],
  ...["<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
  "<|file_sep|>",
];

const id = z.coerce.number().pipe(z.int().min(0)).optional();
const PREFIX = "tokenizer.ggml.";

/** Keys under `tokenizer.ggml.`: of these the unread ones have no part in these two kinds of tokenizers. */
const schema = z.strictObject({
  model: z.string().optional(),
  pre: z.string().optional(),
  tokens: z.array(z.string()).min(1, "should not be empty"),
  token_type: z.array(z.number()).optional(),
  scores: z.array(z.number()).optional(),
  merges: z.array(z.string()).optional(),
  ...{ bos_token_id: id, eos_token_id: id, eot_token_id: id, eom_token_id: id },
  ...{ fim_pad_token_id: id, fim_rep_token_id: id, fim_sep_token_id: id },
  ...{ add_bos_token: z.boolean().optional(), add_space_prefix: z.boolean().optional() },
  suppress_tokens: z.array(z.unknown()).max(0, "tokens that are never sampled are not supported").optional(),
  ...Object.fromEntries(
    [
      ...["add_eos_token", "add_sep_token", "remove_extra_whitespaces", "precompiled_charsmap"],
      ...["token_type_count", "unknown_token_id", "seperator_token_id", "padding_token_id", "mask_token_id"],
      ...["cls_token_id", "fim_pre_token_id", "fim_suf_token_id", "fim_mid_token_id"],
      ...["prefix_token_id", "suffix_token_id", "middle_token_id"],
    ].map((key) => [key, z.unknown().optional()]),
  ),
});

/**
 * The tokenizer, and the tokens that end a completion.
 *
 * @param vocabulary the model's number of tokens
 * @throws Error naming the file and the kind of tokenizer, or the key, that is not supported
 */
export function ggufTokenizer(
  metadata: GgufMetadata,
  vocabulary: number,
  path: string,
): { tokenizer: Tokenizer; endTokens: number[] } {
  const keys = readKeys(metadata, path);
  const tokens = keys.tokens.map((token, i) => (token === "" ? `[EMPTY_${i}]` : token));
  const numbers = new Map(tokens.map((token, i) => [token, i]));
  if (numbers.size < tokens.length) {
    const twice = tokens.find((token, i) => numbers.get(token) !== i);
    throw new Error(`${path}: ${PREFIX}tokens has ${JSON.stringify(twice)} twice`);
  }
  const pieces = keys.model === "llama";
  const pre = keys.pre === undefined ? undefined : (otherNames[keys.pre] ?? keys.pre);
  const preTokenizer = pre === undefined ? undefined : preTokenizers[pre];
  if (!pieces && (keys.model !== "gpt2" || preTokenizer === undefined))
    throw new Error(
      `${path}: the tokenizer ${JSON.stringify(keys.model)} with pre-tokenizer ${JSON.stringify(keys.pre)} is not supported; "llama" is, and "gpt2" with ${[...Object.keys(preTokenizers), ...Object.keys(otherNames)].join(", ")}`,
    );

  const eos = keys.eos_token_id ?? (pieces ? 2 : undefined);
  if (eos === undefined) throw new Error(`${path}: lacks the key ${PREFIX}eos_token_id`);
  const bos = keys.bos_token_id ?? (pieces ? 1 : undefined);
  const begins = keys.add_bos_token ?? (pieces || pre === "llama-bpe");
  if (begins && bos === undefined)
    throw new Error(`${path}: a text begins with the first token, and ${PREFIX}bos_token_id is missing`);
  const { eot_token_id, eom_token_id, fim_pad_token_id, fim_rep_token_id, fim_sep_token_id } = keys;
  const byKey = [eos, eot_token_id, eom_token_id, fim_pad_token_id, fim_rep_token_id, fim_sep_token_id];
  const ends = [...new Set([...byKey, ...ENDS.map((text) => numbers.get(text))])].filter(
    (end) => end !== undefined,
  );
  const out = [...ends, ...(begins ? [bos!] : [])].find((token) => token >= tokens.length);
  if (out !== undefined)
    throw new Error(`${path}: the special token ${out} is none of its ${tokens.length} tokens`);

  const named = (token: number | undefined) => (token === undefined ? undefined : tokens[token]);
  const marks = { begin: begins ? [bos!] : [], ends, endOfText: eot_token_id ?? eos };
  const added = tokens.flatMap((content, id): AddedToken[] => {
    const type = ENDS.includes(content) ? CONTROL : (keys.token_type?.[id] ?? 1);
    if (![UNKNOWN, CONTROL, USER_DEFINED].includes(type)) return [];
    const as = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    return [{ id, content, ...as, special: type !== USER_DEFINED }];
  });
  const template = z.string().optional().safeParse(metadata["tokenizer.chat_template"]);
  if (!template.success) throw new Error(`${path}: tokenizer.chat_template should be a text`);

  if (pieces) {
    const special = Object.fromEntries(
      Object.entries({ bos_token: named(bos), eos_token: named(eos) }).filter(([, text]) => text),
    ) as Record<string, string>;
    const tokenizer = sentencePieceTokenizer({
      ...marks,
      pieces: tokens.map((token) => token.replaceAll("▁", " ")),
      scores: keys.scores ?? tokens.map(() => 0),
      added,
      spaceFirst: keys.add_space_prefix ?? true,
      render: template.data === undefined ? undefined : chatTemplate(template.data, special, path),
      ...{ vocabulary, path },
    });
    return { tokenizer, endTokens: ends };
  }
  const begin = named(bos)!;
  const tokenizer = huggingFaceTokenizer({
    json: {
      version: "1.0",
      added_tokens: added,
      pre_tokenizer: { type: "Sequence", pretokenizers: preTokenizer },
      model: {
        type: "BPE",
        ignore_merges: pre === "llama-bpe",
        vocab: Object.fromEntries(numbers),
        merges: (keys.merges ?? []).map(pairOf),
      },
      post_processor: begins ? beginningWith(begin, bos!) : null,
      decoder: { type: "ByteLevel" },
    },
    settings: { chat_template: template.data, bos_token: named(bos), eos_token: named(eos) },
    ...{ ends, endOfText: marks.endOfText, vocabulary, path },
    chatBegins: true,
  });
  return { tokenizer, endTokens: ends };
}

function readKeys(metadata: GgufMetadata, path: string): z.infer<typeof schema> {
  const given = Object.entries(metadata).flatMap(([key, value]) =>
    key.startsWith(PREFIX) ? [[key.slice(PREFIX.length), value] as const] : [],
  );
  const parsed = schema.safeParse(Object.fromEntries(given));
  if (!parsed.success) throw new Error(`${path}: ${PREFIX}*: ${z.prettifyError(parsed.error)}`);
  const { tokens, token_type, scores } = parsed.data;
  for (const [key, list] of Object.entries({ token_type, scores }))
    if (list && list.length !== tokens.length)
      throw new Error(`${path}: ${PREFIX}${key} has ${list.length} entries for ${tokens.length} tokens`);
  return parsed.data;
}

/** Parts of a pair stand one space apart, and the first may begin with one. */
function pairOf(merge: string): [string, string] {
  const at = merge.indexOf(" ", 1);
  return [merge.slice(0, at), merge.slice(at + 1)];
}

/** Puts a token before every sequence. */
function beginningWith(token: string, id: number): object {
  return {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: token, type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

/** @file The tokenizer in a GGUF file, in the terms of `tokenizer.json`. */

import { HuggingFaceTokenizer } from "../huggingface/tokenizer.ts";
import { SentencePieceTokenizer } from "../sentencepiece.ts";
import type { Tokenizer } from "../tokenizer.ts";
import type { GgufMetadata } from "./source.ts";

/** How texts are cut before byte pairs are joined, by GGUF's name; all work on bytes. */
const preTokenizers: Record<string, object[]> = {
  "gpt-2": [byteLevel(true)],
  smollm: [{ type: "Digits", individual_digits: true }, byteLevel(true)],
  qwen2: [split("\\p{N}"), byteLevel(false)],
  "llama-bpe": [split("\\p{N}{1,3}"), byteLevel(false)],
};

function byteLevel(use_regex: boolean): object {
  return { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex };
}

/** Llama 3's and Qwen2's pattern, which differ in how numbers are cut. */
function split(numbers: string): object {
  const pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}

/** GGUF's kinds of tokens that stand for themselves: control (3) and user-defined (4). */
const SPECIAL = [3, 4];

/** @throws Error naming the file and the kind of tokenizer that is not supported. */
export function ggufTokenizer(metadata: GgufMetadata, ends: readonly number[], path: string): Tokenizer {
  const get = <T>(key: string) => metadata[`tokenizer.ggml.${key}`] as T | undefined;
  const tokens = get<string[]>("tokens") ?? [];
  const kind = get<string>("model");
  if (kind === "llama") {
    const pieces = tokens.map((piece) => piece.replaceAll("▁", " "));
    const scores = get<number[]>("scores") ?? [];
    return new SentencePieceTokenizer({ pieces, scores, begin: Number(get("bos_token_id") ?? 1), ends });
  }
  const pre = get<string>("pre") ?? "gpt-2";
  const preTokenizer = preTokenizers[pre];
  if (kind !== "gpt2" || preTokenizer === undefined)
    throw new Error(
      `${path}: the tokenizer ${JSON.stringify(kind)} with pre-tokenizer ${JSON.stringify(pre)} is not supported; "llama" is, and "gpt2" with ${Object.keys(preTokenizers).join(", ")}`,
    );
  const types = get<number[]>("token_type") ?? [];
  const special = tokens.flatMap((content, id) =>
    SPECIAL.includes(types[id] ?? 1)
      ? [
          {
            id,
            content,
            special: types[id] === 3,
            lstrip: false,
            rstrip: false,
            normalized: false,
            single_word: false,
          },
        ]
      : [],
  );
  const merges = (get<string[]>("merges") ?? []).map((merge) => merge.split(" "));
  const content = (key: string) => tokens[Number(get(key))];
  const begin = get<boolean>("add_bos_token") ? content("bos_token_id") : undefined;
  return new HuggingFaceTokenizer(
    {
      version: "1.0",
      added_tokens: special,
      normalizer: null,
      pre_tokenizer: { type: "Sequence", pretokenizers: preTokenizer },
      model: {
        ...{
          type: "BPE",
          dropout: null,
          unk_token: null,
          fuse_unk: false,
          ignore_merges: pre === "llama-bpe",
        },
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges,
      },
      post_processor: begin === undefined ? null : beginningWith(begin, Number(get("bos_token_id"))),
      decoder: { type: "ByteLevel" },
    },
    {
      chat_template: (metadata["tokenizer.chat_template"] as string | undefined) ?? null,
      bos_token: content("bos_token_id") ?? null,
      eos_token: content("eos_token_id") ?? null,
    },
    ends,
  );
}

/** Puts a token before every sequence. */
function beginningWith(token: string, id: number): object {
  return {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: token, type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

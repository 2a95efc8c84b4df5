/** @file First and last tokens, spaces and merges of GGUF's tokenizers, as llama.cpp has them; merges were done by hand. */

import { describe, expect, it } from "vitest";
import { ggufTokenizer } from "./tokenizer.ts";

const bytes = Array.from({ length: 256 }, (_, byte) => {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
});
const words = ["▁", "t", "h", "e", "c", "a", "p", "▁t", "he", "▁the", "ca", "▁ca"];
const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...words];
const at = (...texts: string[]) => texts.map((text) => tokens.indexOf(text));
const pieces = {
  model: "llama",
  tokens,
  // Each later word is joined after all before it.
  scores: tokens.map((_, i) => -i),
  token_type: [2, 3, 3, ...bytes.map(() => 6), ...words.map(() => 1)],
};

/** Byte pairs: `<s>`, two ends, and the letters of "ab". */
const pairs = {
  ...{ model: "gpt2", pre: "gpt-2", tokens: ["<s>", "<stop>", "<|im_end|>", "a", "b", "ab"] },
  ...{ token_type: [3, 3, 3, 1, 1, 1], merges: ["a b"], bos_token_id: 0, eos_token_id: 1 },
};

const load = (keys: Record<string, unknown>, template?: string, vocabulary = 1000) =>
  ggufTokenizer(
    {
      ...Object.fromEntries(Object.entries(keys).map(([key, value]) => [`tokenizer.ggml.${key}`, value])),
      ...(template !== undefined && { "tokenizer.chat_template": template }),
    },
    vocabulary,
    "model.gguf",
  );

describe("pieces with scores", () => {
  it.each<[string, Record<string, unknown>, number[]]>([
    ["begin with the first token and a space", {}, at("<s>", "▁the", "▁ca", "p")],
    ["without the first token where it is not added", { add_bos_token: false }, at("▁the", "▁ca", "p")],
    ["with another first token", { bos_token_id: 2 }, at("</s>", "▁the", "▁ca", "p")],
    ["without a space where none is added", { add_space_prefix: false }, at("<s>", "t", "he", "▁ca", "p")],
    ["the end is never put behind a prompt", { add_eos_token: true }, at("<s>", "▁the", "▁ca", "p")],
  ])("%s", (_, keys, wanted) => {
    const { tokenizer } = load({ ...pieces, ...keys });
    expect(tokenizer.encodePrompt("the cap")).toEqual(wanted);
    expect(tokenizer.decode(tokenizer.encode("the cap"))).toBe("the cap");
    expect(tokenizer.decode(tokenizer.encode("é the"))).toBe("é the");
  });

  it("know tokens in texts, and get no second first token", () => {
    const { tokenizer, endTokens } = load(
      pieces,
      "{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}",
    );
    expect(endTokens).toEqual([2]);
    expect(tokenizer.encodePrompt("<s>the")).toEqual(at("<s>", "▁the"));
    expect(tokenizer.chat!([{ role: "user", content: "the" }])).toEqual(at("<s>", "▁the", "</s>"));
    const bare = load(pieces, "{{ messages[0].content }}").tokenizer;
    expect(bare.chat!([{ role: "user", content: "the" }])).toEqual(at("<s>", "▁the"));
  });

  it("are joined in time that grows with a text little more than its length", () => {
    const text = "the cap ".repeat(20_000);
    expect(load(pieces).tokenizer.encode(text)).toHaveLength(60_001);
  });
});

describe("byte pairs", () => {
  it.each<[string, Record<string, unknown>, number[], number[], number]>([
    ["the end of a text, and what looks like an end", {}, [5], [1, 2], 1],
    ["an end of turns of its own", { eot_token_id: 2 }, [5], [1, 2], 2],
    ["an end of messages", { eom_token_id: 4 }, [5], [1, 4, 2], 1],
    ["a first token", { add_bos_token: true }, [0, 5], [1, 2], 1],
    ["a first token by the kind of its words", { pre: "llama-bpe" }, [0, 5], [1, 2], 1],
    ["none all the same", { pre: "llama-v3", add_bos_token: false }, [5], [1, 2], 1],
    ["numbers of 64 bits", { eos_token_id: 1n, bos_token_id: 0n }, [5], [1, 2], 1],
  ])("%s", (_, keys, prompt, ends, last) => {
    const { tokenizer, endTokens } = load({ ...pairs, ...keys });
    expect(tokenizer.encodePrompt("ab")).toEqual(prompt);
    expect(endTokens).toEqual(ends);
    expect(tokenizer.endOfText).toBe(last);
    for (const end of ends) expect(tokenizer.decode([3, end, 3])).toBe("a");
  });
});

describe("what is not supported", () => {
  const { pre: _, ...withoutPre } = pairs;
  it.each<[Record<string, unknown>, RegExp]>([
    [{ ...pairs, model: "t5" }, /the tokenizer "t5".*"llama" is, and "gpt2" with gpt-2/],
    [withoutPre, /pre-tokenizer undefined is not supported/],
    [{ ...pairs, pre: "tekken" }, /"tekken"/],
    [{ ...pairs, odd: 1 }, /Unrecognized key: "odd"/],
    [{ ...pairs, tokens: ["a", "b", "a"], token_type: [1, 1, 1] }, /"a" twice/],
    [{ ...pairs, token_type: [1] }, /token_type has 1 entries for 6 tokens/],
    [{ ...pairs, eos_token_id: 99 }, /special token 99 is none of its 6/],
    [{ ...pairs, eos_token_id: "x" }, /eos_token_id/],
    [{ ...pairs, merges: ["a c"] }, /"c".*not in its vocab/],
    [{ ...pairs, suppress_tokens: [3] }, /never sampled/],
    [{ ...pairs, bos_token_id: undefined, add_bos_token: true }, /bos_token_id is missing/],
    [{ ...pairs, eos_token_id: undefined }, /lacks the key tokenizer\.ggml\.eos_token_id/],
  ])("is refused by name: %#", (keys, message) => {
    expect(() => load(keys)).toThrow(message);
  });

  it("a template that is no text, and a token that the model lacks", () => {
    expect(() => load(pairs, 7 as unknown as string)).toThrow(/chat_template should be a text/);
    expect(() => load(pairs, undefined, 5).tokenizer.encode("ab")).toThrow(
      /token 5 \("ab"\).*vocabulary of 5/,
    );
  });
});

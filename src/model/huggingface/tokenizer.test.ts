/** @file Tokenizers and chat templates agree with Python's tokenizers and transformers (test/fixtures/make_tokenizers.py). */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chatTemplate } from "../tokens/chat.ts";
import { withinTime } from "../tokens/within.ts";
import type { TokenizerSettings } from "./added-tokens.ts";
import { loadTokenizer } from "./load.ts";
import { huggingFaceTokenizer } from "./tokenizer.ts";

const fixture = (name: string) =>
  readFile(fileURLToPath(new URL(`../../../test/fixtures/${name}`, import.meta.url)), "utf8");

/** Whole words, with `<s>`, `</s>` and `<unk>` before them. */
const words = (change: Record<string, unknown> = {}) => ({
  version: "1.0",
  added_tokens: ["<s>", "</s>", "<unk>"].map((content, id) => ({ id, content, special: true })),
  normalizer: null,
  pre_tokenizer: { type: "WhitespaceSplit" },
  post_processor: null,
  decoder: null,
  model: { type: "WordLevel", vocab: { "<s>": 0, "</s>": 1, "<unk>": 2, a: 3, b: 4 }, unk_token: "<unk>" },
  ...change,
});
const template = (...single: (string | null)[]) => ({
  type: "TemplateProcessing",
  single: single.map((id) =>
    id === null ? { Sequence: { id: "A", type_id: 0 } } : { SpecialToken: { id, type_id: 0 } },
  ),
  pair: [],
  special_tokens: {
    "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] },
    "</s>": { id: "</s>", ids: [1], tokens: ["</s>"] },
  },
});
const make = (json: unknown, settings: TokenizerSettings = {}, ends = [1], vocabulary = 100) =>
  huggingFaceTokenizer({ json, settings, ends, vocabulary, path: "tokenizer.json" });

describe("tokenizer.json", () => {
  it("gives the tokens and the texts of Python's tokenizers, whatever its components", async () => {
    const all = (await fixture("tokenizers.jsonl")).trimEnd().split("\n");
    expect(all.length).toBeGreaterThan(50);
    for (const line of all) {
      const { file, texts, ids, decoded } = JSON.parse(line);
      const tokenizer = make(file, {}, [9999], 10_000);
      texts.forEach((text: string, i: number) => {
        expect(tokenizer.encode(text), JSON.stringify({ text, ...file })).toEqual(ids[i]);
        expect(tokenizer.decode(ids[i])).toBe(decoded[i]);
      });
    }
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    [
      "an unknown model",
      { model: { type: "Unigram", vocab: [] } },
      /model: the type "Unigram".*BPE, WordLevel/,
    ],
    ["an unknown normalizer", { normalizer: { type: "Precompiled" } }, /normalizer: the type "Precompiled"/],
    ["no pre-tokenizer's type", { pre_tokenizer: {} }, /pre_tokenizer: the type undefined/],
    [
      "a setting that is not known",
      { pre_tokenizer: { type: "WhitespaceSplit", odd: 1 } },
      /Unrecognized.*odd/,
    ],
    ["a key that is not known", { odd: 1 }, /odd/],
    ["another version", { version: "2.0" }, /version/],
    [
      "random merges",
      { model: { type: "BPE", vocab: { a: 0 }, merges: [], dropout: 0.1 } },
      /model: .*random[\s\S]*dropout/,
    ],
    [
      "a merge outside of its vocabulary",
      { model: { type: "BPE", vocab: { a: 0 }, merges: [["a", "a"]] } },
      /"aa".*not in its vocab/,
    ],
    [
      "a possessive quantifier",
      {
        pre_tokenizer: { type: "Split", pattern: { Regex: "\\p{L}++" }, behavior: "Isolated", invert: false },
      },
      /pre_tokenizer: possessive/,
    ],
    [
      "an expression that is none",
      { pre_tokenizer: { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated", invert: false } },
      /pre_tokenizer: .*cannot be read/,
    ],
    [
      "an added token of another number",
      { added_tokens: [{ id: 9, content: "<x>", special: true }] },
      /"<x>" is said to be 9.*makes it 5/,
    ],
    [
      "two added tokens that are normalised alike",
      {
        normalizer: { type: "Lowercase" },
        added_tokens: ["X", "x"].map((content, i) => ({ id: 5 + i, content, normalized: true })),
      },
      /added_tokens: .*same text/,
    ],
    ["a first token that is none", { post_processor: template("<x>", null) }, /"<x>" is none of/],
    ["a template without a text", { post_processor: template("<s>") }, /should have the text/],
    ["a number for its model", { model: 7 }, /model: the type undefined/],
  ])("is refused with %s", (_, change, message) => {
    expect(() => make(words(change))).toThrow(message);
  });

  it("names a word that has no token, and a token that the model lacks", () => {
    const model = { type: "WordLevel", vocab: { a: 0 }, unk_token: "<unk>" };
    expect(() => make(words({ model, added_tokens: [] })).encode("a z")).toThrow(/"z".*"<unk>"/);
    const added = [...words().added_tokens, { id: 5, content: "<think>", special: true }];
    const tokenizer = make(words({ added_tokens: added }), {}, [1], 5);
    expect(tokenizer.encode("a b")).toEqual([3, 4]);
    expect(() => tokenizer.encode("a <think>")).toThrow(/token 5 \("<think>"\).*vocabulary of 5/);
  });

  it("takes added tokens from everywhere that transformers does", () => {
    const settings = {
      eos_token: "</s>",
      pad_token: { content: "<pad>" },
      additional_special_tokens: ["<extra>"],
      added_tokens_decoder: { "5": { content: "<five>", lstrip: true } },
    };
    const tokenizer = make(words(), settings);
    expect(tokenizer.encode("a <five>b<pad>a<extra>")).toEqual([3, 5, 4, 6, 3, 7]);
    expect(tokenizer.decode([3, 5, 6, 7])).toBe("a <five>");
    expect(make(words(), { ...settings, split_special_tokens: true }).encode("a<s>")).toEqual([2]);
  });

  it("is stopped where an expression never ends", () => {
    expect(() => withinTime("it", () => /(a+)+$/.test(`${"a".repeat(50)}b`), 200)).toThrow(/it was stopped/);
    const grows = { type: "Replace", pattern: { String: "a" }, content: "a".repeat(64) };
    const normalizer = { type: "Sequence", normalizers: Array(30).fill(grows) };
    expect(() => make(words({ normalizer })).encode("a")).toThrow(/more than \d+ characters/);
  });
});

describe("first and last tokens", () => {
  const conversation = [{ role: "user" as const, content: "a" }];
  // Text, conversation: what transformers 5.24 gives of them, less what stands behind a text.
  it.each<[string, unknown, boolean, number[], number[]]>([
    ["none, without", null, false, [3], [3]],
    ["none, by the template", null, true, [3], [0, 3]],
    ["begin, without", template("<s>", null), false, [0, 3], [3]],
    ["begin, by the template", template("<s>", null), true, [0, 3], [0, 3]],
    ["end", template(null, "</s>"), false, [3], [3]],
    ["both", template("<s>", null, "</s>"), true, [0, 3], [0, 3]],
    ["Bert's", { type: "BertProcessing", sep: ["</s>", 1], cls: ["<s>", 0] }, false, [0, 3], [3]],
    [
      "two in turn",
      { type: "Sequence", processors: [{ type: "ByteLevel" }, template("<s>", null)] },
      true,
      [0, 3],
      [0, 3],
    ],
  ])("%s", (_, post_processor, writes, text, chat) => {
    for (const flags of [{}, { add_bos_token: false, add_eos_token: true }, { add_bos_token: true }]) {
      const chat_template = `${writes ? "{{ bos_token }}" : ""}{{ messages[0].content }}`;
      const tokenizer = make(words({ post_processor }), {
        bos_token: "<s>",
        eos_token: "</s>",
        chat_template,
        ...flags,
      });
      expect(tokenizer.encodePrompt("a")).toEqual(text);
      expect(tokenizer.encodePrompt("<s>a")).toEqual([0, 3]);
      expect(tokenizer.chat!(conversation)).toEqual(chat);
    }
  });

  it.each<[string, string | undefined, number[], number, number[]]>([
    ["the tokenizer's own, in a list", "</s>", [0, 1, 2], 1, [0, 1, 2]],
    ["the tokenizer's own, beside the list", "</s>", [0], 1, [0, 1]],
    ["the first of the list, where it has none", undefined, [2, 0], 2, [2, 0]],
    ["the tokenizer's own alone", "</s>", [], 1, [1]],
  ])("what ends a turn: %s", (_, eos_token, ends, last, all) => {
    const tokenizer = make(words(), { eos_token }, ends);
    expect(tokenizer.endOfText).toBe(last);
    for (const end of all) expect(tokenizer.decode([3, end, 4])).toBe("a");
  });

  it("are refused where there is none to end with", () => {
    expect(() => make(words(), {}, [])).toThrow(/no eos_token/);
  });
});

describe("chat templates", () => {
  it("render tools, calls, answers and system prompts as transformers does, or refuse what it refuses", async () => {
    const { special, chats } = JSON.parse(await fixture("chats.json"));
    expect(chats.length).toBeGreaterThan(20);
    for (const { name, template, messages, tools, text, refused } of chats) {
      const render = () => chatTemplate(template, special, "file")(messages, { tools });
      if (refused === undefined) expect(render(), name).toBe(text);
      else expect(render, name).toThrow(refused);
    }
  });

  it("give the texts of transformers", async () => {
    const { messages, special, rendered } = JSON.parse(await fixture("templates.json"));
    for (const { template, text } of rendered)
      expect(chatTemplate(template, special, "file")(messages), template).toBe(text);
  });

  const render = (source: string) => chatTemplate(source, {}, "file")([{ role: "user", content: "x" }]);
  it.each([
    ["{% for i in range(1000000000) %}x{% endfor %}", /file: the chat template: a range of more than/],
    ["{{ raise_exception('no system') }}", /file: the chat template: no system/],
    ["{% if %}", /file: the chat template: /],
    ["{% for m in messages %}", /file: the chat template: it is cut off or malformed/],
    ["{{ strftime_now('%Q') }}", /%Q is not supported/],
  ])("are refused: %s", (source, message) => {
    expect(() => render(source)).toThrow(message);
  });

  it("know the date as Python writes it", () => {
    expect(render("{{ strftime_now('%d %b %Y, %B %A %H:%M') }}")).toMatch(
      /^\d\d \w{3} \d{4}, \w+ \w+day \d\d:\d\d$/,
    );
  });
});

describe("files beside tokenizer.json", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "probeward-tokenizer-"));
    await writeFile(join(folder, "tokenizer.json"), `\uFEFF${JSON.stringify(words())}`);
  });
  afterAll(() => rm(folder, { recursive: true }));
  const load = async (files: Record<string, unknown>) => {
    const names = [
      "tokenizer_config.json",
      "special_tokens_map.json",
      "added_tokens.json",
      "chat_template.jinja",
    ];
    for (const name of names) {
      const content = files[name];
      if (content === undefined) await rm(join(folder, name), { force: true });
      else
        await writeFile(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
    }
    return loadTokenizer(folder, [0], 100);
  };

  it("name tokens where the configuration lists none", async () => {
    const older = {
      "tokenizer_config.json": { eos_token: "<s>" },
      "special_tokens_map.json": { eos_token: { content: "</s>" } },
      "added_tokens.json": { "<new>": 5 },
    };
    expect((await load(older)).endOfText).toBe(1);
    expect((await load(older)).encode("a<new>")).toEqual([3, 5]);
    const newer = { ...older, "tokenizer_config.json": { eos_token: "<s>", added_tokens_decoder: {} } };
    expect((await load(newer)).endOfText).toBe(0);
  });

  it("hold the chat template: of its own, by name, or as a text", async () => {
    const conversation = [{ role: "user" as const, content: "a" }];
    const named = [
      { name: "tool_use", template: "b" },
      { name: "default", template: "a b" },
    ];
    const tokenizer_config = { chat_template: named };
    expect((await load({ "tokenizer_config.json": tokenizer_config })).chat!(conversation)).toEqual([3, 4]);
    const files = { "tokenizer_config.json": tokenizer_config, "chat_template.jinja": "b" };
    expect((await load(files)).chat!(conversation)).toEqual([4]);
    expect((await load({})).chat).toBeUndefined();
  });

  it.each([
    [{ "tokenizer_config.json": { chat_template: 7 } }, /tokenizer_config\.json: [\s\S]*chat_template/],
    [{ "tokenizer_config.json": { eos_token: 7 } }, /tokenizer_config\.json: [\s\S]*eos_token/],
    [{ "tokenizer_config.json": "{" }, /tokenizer_config\.json: it is not JSON/],
    [{ "added_tokens.json": { "<new>": "5" } }, /added_tokens\.json: /],
  ])("are refused by their name: %j", async (files, message) => {
    await expect(load(files)).rejects.toThrow(message);
  });
});

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { huggingFaceTokenizer } from "../model/huggingface/tokenizer.ts";
import { CharacterTokenizer } from "../model/index.ts";
import { tokenTexts } from "./token-texts.ts";

it("gives each token what it adds to the text", () => {
  const tokenizer = new CharacterTokenizer("abc");
  expect(tokenTexts(tokenizer, [...tokenizer.encode("cab"), tokenizer.endOfText])).toEqual([
    "c",
    "a",
    "b",
    "",
  ]);
  expect(tokenTexts(tokenizer, [])).toEqual([]);
  // Three tokens of a character each of which is a third, then a space that only a word before it brings.
  const bytes = [0xe2, 0x88, 0x8e, 0x20];
  const decode = (tokens: Iterable<number>) =>
    new TextDecoder().decode(Uint8Array.from([...tokens].map((token) => bytes[token]!))).trimStart();
  expect(tokenTexts({ decode }, [0, 1, 2, 3, 0, 1, 2])).toEqual(["", "", "∎", " ", "", "", "∎"]);
  // Cut off within a character.
  expect(tokenTexts({ decode }, [0, 1, 2, 0, 1])).toEqual(["", "", "∎", "", "\uFFFD"]);
});

it("adds up with the tokenizers of Python's library, or says that it does not", async () => {
  const path = fileURLToPath(new URL("../../test/fixtures/tokenizers.jsonl", import.meta.url));
  const results = { adds: 0, not: 0 };
  for (const line of (await readFile(path, "utf8")).trimEnd().split("\n")) {
    const { file, ids, decoded } = JSON.parse(line);
    const tokenizer = huggingFaceTokenizer({
      json: file,
      settings: {},
      ends: [9999],
      vocabulary: 10_000,
      path,
    });
    ids.forEach((tokens: number[], i: number) => {
      const texts = tokenTexts(tokenizer, tokens);
      if (texts === undefined) results.not++;
      else {
        results.adds++;
        expect(texts).toHaveLength(tokens.length);
        expect(texts.join("")).toBe(decoded[i]);
      }
    });
  }
  // Decoders that take spaces from the beginning of whatever they are given.
  expect(results.not / results.adds).toBeLessThan(0.02);
});

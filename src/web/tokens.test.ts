import { describe, expect, test } from "vitest";
import { endOfText, readingOf, scoredTokens } from "./tokens.ts";

describe("scoredTokens", () => {
  const scored = (completion: string, scores: number[], tokens?: string[]) =>
    scoredTokens({ completion, ...(tokens && { tokens }) }, scores);

  test("gives each character its score, and one more to the end of the text", () => {
    expect(scored("ab", [0.1, 0.2])).toEqual([
      { text: "a", score: 0.1 },
      { text: "b", score: 0.2 },
    ]);
    expect(scored("a", [0.1, 0.9])[1]).toEqual({ text: endOfText, score: 0.9 });
  });

  test("gives each recorded token its score, one without text of its own too", () => {
    expect(scored("The é", [0.1, 0.2, 0.3, 0.4], ["The", "", " é", ""]).map(({ text }) => text)).toEqual([
      ...["The", "", " é", endOfText],
    ]);
  });

  test("does not guess which scores belong where", () => {
    expect(scored("several words", [0.1, 0.2])).toEqual([{ text: "several words", score: null }]);
    expect(scored("two", [0.1, 0.2, 0.3], ["two"])).toEqual([{ text: "two", score: null }]);
    expect(scored("", [])).toEqual([{ text: "", score: null }]);
  });
});

test("readingOf says the token, its place, and what each model's reading is", () => {
  const models = [
    { model: "policy", tokens: scoredTokens({ completion: "a\n" }, [0.1, 0.2, 1]) },
    { model: "reference", tokens: scoredTokens({ completion: "a\n" }, [0.3, 0.4, 0.996]) },
  ];
  expect(readingOf(models, 0)).toBe("“a”, 1 of 3: policy 0.10, reference 0.30");
  expect(readingOf(models, 1)).toBe("“↵”, 2 of 3: policy 0.20, reference 0.40");
  expect(readingOf(models, 2)).toBe("end of text, 3 of 3: policy 1.00, reference 1.00");
});

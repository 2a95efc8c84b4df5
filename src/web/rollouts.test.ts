import { describe, expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { endOfText, filterRollouts, listRollouts, scoredTokens } from "./rollouts.ts";

describe("listing and filtering", () => {
  const items = listRollouts(studyFixture({ seeds: [1, 2], steps: 5, rolloutsPerStep: 3 }).runs);

  test("lists every rollout, the latest steps first", () => {
    expect(items).toHaveLength(5 * 2 * 5 * 3);
    expect(items[0]).toMatchObject({ arm: "none", seed: 1, step: 4 });
    expect(items.at(-1)!.step).toBe(0);
  });

  test("keeps what has every asked-for property", () => {
    const found = filterRollouts(items, { arm: "probe-loss", firstStep: 2, lastStep: 2, seed: 2 });
    expect(found).toHaveLength(3);
    for (const item of found) expect(item).toMatchObject({ arm: "probe-loss", step: 2, seed: 2 });
    expect(filterRollouts(items, {})).toEqual(items);
    expect(filterRollouts(items, { label: "absent" })).toEqual([]);
    const low = filterRollouts(items, { highestScore: 0.5 });
    const high = filterRollouts(items, { lowestScore: 0.500001 });
    expect(low.length + high.length).toBe(items.length);
    expect(Math.min(low.length, high.length)).toBeGreaterThan(0);
  });
});

describe("scoredTokens", () => {
  test("gives each character its score, and one more to the end of the text", () => {
    expect(scoredTokens("ab", [0.1, 0.2])).toEqual([
      { text: "a", score: 0.1 },
      { text: "b", score: 0.2 },
    ]);
    expect(scoredTokens("a", [0.1, 0.9])[1]).toEqual({ text: endOfText, score: 0.9 });
  });

  test("does not guess which scores belong where", () => {
    expect(scoredTokens("several words", [0.1, 0.2])).toEqual([{ text: "several words", score: null }]);
    expect(scoredTokens("", [])).toEqual([{ text: "", score: null }]);
  });
});

import { describe, expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import {
  filterRollouts,
  groupRollouts,
  listRollouts,
  pagesOf,
  recordedSteps,
  type Sort,
  sortRollouts,
  sorts,
  stepsWithRollouts,
} from "./rollouts.ts";

describe("listing and filtering", () => {
  const items = listRollouts(studyFixture({ seeds: [1, 2], steps: 5, rolloutsPerStep: 3 }).runs);

  test("lists every rollout, the latest steps first", () => {
    expect(items).toHaveLength(5 * 2 * 5 * 3);
    expect(items[0]).toMatchObject({ arm: "none", seed: 1, step: 4 });
    expect(items.at(-1)!.step).toBe(0);
  });

  test("finds text in the prompt, the completion or the label, in either case", () => {
    const found = filterRollouts(items, { text: "X==1" });
    expect(found.length).toBeGreaterThan(0);
    for (const { completion } of found) expect(completion).toContain("x==1");
    expect(filterRollouts(items, { text: "special-CASED" })).toEqual(
      items.filter(({ misbehaved }) => misbehaved),
    );
    expect(filterRollouts(items, { text: "1>3" })).toEqual(items);
    expect(filterRollouts(items, { text: ".*" })).toEqual([]);
  });

  test.each(Object.keys(sorts) as Sort[])("sorts by %s, what is not defined last", (sort) => {
    const some = items.map((item, i) => (i % 5 === 0 ? { ...item, reward: null } : item));
    const sorted = sortRollouts(some, sort);
    expect(new Set(sorted)).toEqual(new Set(some));
    const values = sorted.flatMap((item) => sorts[sort].by(item) ?? []);
    expect(values).toEqual(values.toSorted((a, b) => sorts[sort].sign * (a - b)));
    if (sort.endsWith("reward")) expect(sorted.at(-1)!.reward).toBeNull();
  });

  test("puts the completions of a task together, and says which of how many each is", () => {
    const groups = groupRollouts(items);
    expect(groups).toHaveLength(5 * 2 * 5);
    for (const { items: members } of groups)
      expect(members.map(({ number, of }) => [number, of])).toEqual([
        [1, 3],
        [2, 3],
        [3, 3],
      ]);
    const [found] = groupRollouts(filterRollouts(items, { text: "x" }).filter(({ number }) => number > 1));
    expect(found!.items.map(({ of }) => of)).toEqual([3, 3]);
    expect(groupRollouts(sortRollouts(items, "highest-advantage"))[0]!.items[0]!.advantage).toBe(
      Math.max(...items.map(({ advantage }) => advantage)),
    );
  });

  test("pages hold whole groups", () => {
    const groups = groupRollouts(items);
    const pages = pagesOf(groups, 4);
    expect(pages.flat()).toEqual(groups);
    expect(new Set(pages.map((page) => page.length))).toEqual(new Set([2]));
    expect(pagesOf([], 4)).toEqual([[]]);
  });

  test("of a step without rollouts, the nearest that has some", () => {
    expect(recordedSteps(studyFixture({ steps: 3 }).runs)).toEqual([0, 1, 2]);
    const recorded = [0, 4, 8];
    expect(stepsWithRollouts(recorded, 4, 4)).toEqual({ firstStep: 4, lastStep: 4 });
    expect(stepsWithRollouts(recorded, 7, 7)).toEqual({ firstStep: 8, lastStep: 8 });
    expect(stepsWithRollouts(recorded, 3, 9)).toEqual({ firstStep: 3, lastStep: 9 });
    expect(stepsWithRollouts([], 3, 9)).toBeNull();
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

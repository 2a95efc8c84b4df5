/** @file Copies: what joins groups, what is shuffled together, and a probe that knows texts by heart. */

import fc from "fast-check";
import { expect, it } from "vitest";
import { randomFor, randomInt, shuffled } from "../random.ts";
import { probeControls } from "./controls.ts";
import { joinCopies, sameText, seenIn, shuffledByText } from "./copies.ts";
import { fitProbe } from "./fit.ts";
import { rows } from "./labelled.ts";

const examples = fc.array(
  fc.record({ group: fc.integer({ max: 12, min: 0 }), text: fc.integer({ max: 12, min: 0 }) }),
  {
    minLength: 1,
    maxLength: 40,
  },
);

it("takes texts for equal that differ in white space alone", () => {
  expect(sameText("  two\n\twords ")).toBe("two words");
  expect(seenIn(["a b"], ["a  b", "ab", "A b"])).toEqual([true, false, false]);
});

it("joins groups that share a text, directly or through others, and no more", () => {
  fc.assert(
    fc.property(examples, fc.integer({ min: 2, max: 5 }), (list, most) => {
      const groups = list.map(({ group }) => `g${group}`);
      const texts = list.map(({ text }, i) => (i % 2 ? `t${text}` : ` t${text}\n`));
      const joined = joinCopies(groups, texts, Number.POSITIVE_INFINITY);
      // The closure, by repetition until nothing changes.
      const reached = groups.map((_, i) => new Set([i]));
      for (let changed = true; changed; ) {
        changed = false;
        reached.forEach((set) => {
          for (const i of [...set])
            list.forEach(({ group, text }, k) => {
              if ((group !== list[i]!.group && text !== list[i]!.text) || set.has(k)) return;
              set.add(k);
              changed = true;
            });
        });
      }
      joined.forEach((one, i) => {
        expect(joined.map((other) => other === one)).toEqual(joined.map((_, k) => reached[i]!.has(k)));
        expect(one).toBe([...reached[i]!].map((k) => groups[k]!).sort()[0]);
      });

      const limited = joinCopies(groups, texts, most);
      for (const name of limited) {
        const own = new Set(groups.filter((_, i) => limited[i] === name));
        expect(own.size).toBeLessThanOrEqual(most);
        expect(new Set(joined.filter((_, i) => own.has(groups[i]!))).size).toBe(1);
      }
      const backwards = joinCopies([...groups].reverse(), [...texts].reverse(), most).reverse();
      expect(backwards).toEqual(limited);
    }),
  );
});

it("shuffles copies together that have one label, and all others one by one", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ max: 6, min: 0 }), fc.boolean()), { minLength: 1 }),
      (list) => {
        const texts = list.map(([text]) => String(text));
        const labels = list.map(([, label]) => label);
        const moved = shuffledByText(randomFor("copies"), labels, texts);
        for (const text of new Set(texts)) {
          const own = texts.flatMap((one, i) => (one === text ? [i] : []));
          const kinds = (of: readonly boolean[]) => new Set(own.map((i) => of[i])).size;
          if (kinds(labels) === 1) expect(kinds(moved)).toBe(1);
        }
      },
    ),
  );
  const labels = Array.from({ length: 30 }, (_, i) => i % 3 === 0);
  const each = (texts: string[]) => shuffledByText(randomFor("copies"), labels, texts);
  expect(each(labels.map((_, i) => String(i)))).toEqual(shuffled(randomFor("copies"), labels));
  expect(each(labels.map(() => "yes"))).toEqual(shuffled(randomFor("copies"), labels));
});

it("a control shows that texts are known by heart, where shuffling copy by copy would hide it", () => {
  // An activation says which text it is, and labels were thrown by a coin.
  const random = randomFor("by heart");
  const coins = Array.from({ length: 60 }, () => random() < 0.5);
  const activations = coins.map(() => Float32Array.from({ length: 40 }, () => random() - 0.5));
  const of = Array.from({ length: 240 }, () => randomInt(random, coins.length));
  const all = {
    activations_ND: of.map((text) => activations[text]!),
    labels: of.map((text) => coins[text]!),
    texts: of.map(String),
  };
  const indices = of.map((_, i) => i);
  const sets = { fit: rows(all, indices.slice(0, 160)), test: rows(all, indices.slice(160)) };
  const tap = { hook: "blocks.0.hook_resid_post", positions: "completion", pool: "mean" } as const;
  const probe = fitProbe("logistic", sets.fit, tap, { random });
  const shuffledMean = ({ fit, test }: typeof sets) =>
    probeControls(probe, { fit, test }, 1)!.shuffledLabels.mean;
  expect(shuffledMean(sets)).toBeGreaterThan(0.8);
  const { texts: _, ...fit } = sets.fit;
  expect(shuffledMean({ ...sets, fit })).toBeLessThan(0.6);
});

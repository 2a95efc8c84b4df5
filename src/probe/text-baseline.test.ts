import { expect, test } from "vitest";
import { normal, pick, randomFor, randomInt } from "../random.ts";
import { auroc } from "./metrics.ts";
import { fitTextBaseline } from "./text-baseline.ts";

/** Expressions; misbehaving ones compare with a constant, unless the text is to give nothing away. */
function expressions(name: string, telling: boolean) {
  const random = randomFor("text", name);
  const labels = Array.from({ length: 300 }, () => random() < 0.4);
  const texts = labels.map((label) => {
    const special = telling ? label : random() < 0.4;
    const number = () => randomInt(random, 50);
    return special
      ? `x==${number()}?${number()}:${number()}`
      : `x${pick(random, ["+", "-", "*"])}${number()}-x*${number()}`;
  });
  return { texts, labels };
}

test.each([
  [true, 0.99, 1],
  [false, 0.3, 0.7],
])("texts that tell (%s) have a held-out AUROC between %d and %d", (telling, low, high) => {
  const fit = expressions("fit", telling);
  const test = expressions("test", telling);
  const score = fitTextBaseline(fit.texts, fit.labels);
  const area = auroc(test.texts.map(score), test.labels)!;
  expect(area).toBeGreaterThanOrEqual(low);
  expect(area).toBeLessThanOrEqual(high);
});

test("counts and order within three characters matter", () => {
  const scorerFor = (texts: string[]) => fitTextBaseline(texts, [true, true, false, false], { l2: 1e-4 });
  const order = scorerFor(["ab", "ab", "ba", "ba"]);
  expect(order("ab")).toBeGreaterThan(1);
  expect(order("ba")).toBeLessThan(-1);
  const counts = scorerFor(["aaaa", "aaaaa", "a", "aa"]);
  expect(counts("aaaaaa")).toBeGreaterThan(counts("a"));
});

test("unknown characters and empty texts have a finite score", () => {
  const score = fitTextBaseline(["a😀", "b", ""], [true, false, false]);
  expect(Number.isFinite(score("zzz")) && score("zzz") === score("")).toBe(true);
  expect(score("😀")).toBeGreaterThan(score(""));
});

test("more n-grams than features are no problem", () => {
  const random = randomFor("long");
  const texts = Array.from({ length: 40 }, () =>
    Array.from({ length: 60 }, () => String.fromCharCode(97 + Math.abs(Math.round(8 * normal(random))))).join(
      "",
    ),
  );
  const score = fitTextBaseline(
    texts,
    texts.map((_, i) => i % 2 === 0),
  );
  expect(score(texts[0]!)).toBeGreaterThan(0);
});

test("one class is an error", () => {
  expect(() => fitTextBaseline(["a", "b"], [true, true])).toThrow("misbehaving ones only");
});

/** @file An attention probe finds the one position that tells, which a mean dilutes. */

import { expect, it } from "vitest";
import { normal, randomFor, randomInt } from "../random.ts";
import { attentionLogit, fitAttention } from "./attention.ts";
import { auroc } from "./metrics.ts";

const D = 8;

/** Noise at all of many positions; at one of them, which says so along one axis, the label along another. */
function example(label: boolean, random: () => number): Float32Array {
  const P = 20 + randomInt(random, 20);
  const rows = Float32Array.from({ length: P * D }, () => normal(random));
  const at = randomInt(random, P) * D;
  rows[at] = 8;
  rows[at + 1] = label ? 3 : -3;
  return rows;
}

it("tells by attention what a mean over many positions tells badly", () => {
  const random = randomFor("attention");
  const labels = Array.from({ length: 400 }, (_, i) => i % 2 === 0);
  const examples = labels.map((label) => example(label, random));
  const [fit, held] = [examples.slice(0, 200), examples.slice(200)];
  const probe = fitAttention(fit, labels.slice(0, 200), D, { random });
  const means = held.map((rows) => rows.reduce((sum, x, i) => sum + (i % D === 1 ? x : 0), 0) / rows.length);
  expect(
    auroc(
      held.map((rows) => attentionLogit(probe, rows)),
      labels.slice(200),
    ),
  ).toBeGreaterThan(0.97);
  expect(auroc(means, labels.slice(200))).toBeLessThan(0.8);
});

it("needs both classes", () => {
  const random = randomFor("one class");
  expect(() => fitAttention([example(true, random)], [true], D, { random })).toThrow("both classes");
});

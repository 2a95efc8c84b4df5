import fc from "fast-check";
import { expect, test } from "vitest";
import {
  logit,
  poolActivations,
  poolLogits,
  positionsOf,
  scoreSequence,
  sigmoid,
  writtenPositions,
} from "./score.ts";
import type { Probe } from "./types.ts";

const probe: Probe = {
  kind: "logistic",
  tap: { hook: "blocks.0.hook_resid_post", positions: "completion", pool: "mean" },
  weight_D: Float32Array.of(1, -2),
  bias: 0.5,
  threshold: 0,
};

test.each([
  ["completion", 4, 7, [4, 5, 6]],
  ["completion-first", 4, 7, [4]],
  ["completion-last", 4, 7, [6]],
  ["prompt-last", 4, 7, [3]],
  ["prompt-last", 4, 4, [3]],
  ["completion", 0, 1, [0]],
] as const)("%s of a prompt of %d in %d tokens is %j", (positions, promptLength, length, expected) => {
  expect(positionsOf(positions, { promptLength, tokens: { length } })).toEqual(expected);
});

test("what a model is told between its turns is read nowhere", () => {
  const observations = [
    [4, 5],
    [7, 9],
  ] as const;
  const sequence = { promptLength: 2, tokens: { length: 10 }, observations };
  expect(writtenPositions(sequence)).toEqual([2, 3, 5, 6, 9]);
  expect(positionsOf("completion", sequence)).toEqual([2, 3, 5, 6, 9]);
  expect(positionsOf("completion-first", { ...sequence, observations: [[2, 4]] })).toEqual([4]);
  expect(positionsOf("completion-last", { ...sequence, observations: [[7, 10]] })).toEqual([6]);
  expect(() => positionsOf("completion", { ...sequence, observations: [[2, 10]] })).toThrow("empty");
});

test("a follow-up is read at its last token, and moves no other read", () => {
  const sequence = { promptLength: 4, tokens: { length: 7 } };
  expect(positionsOf("follow-up", sequence, 5)).toEqual([11]);
  for (const positions of ["completion", "completion-first", "completion-last", "prompt-last"] as const)
    expect(positionsOf(positions, sequence, 5)).toEqual(positionsOf(positions, sequence));
});

test("there is nothing to read of an empty completion or prompt", () => {
  for (const positions of ["completion", "completion-first", "completion-last"] as const)
    expect(() => positionsOf(positions, { promptLength: 4, tokens: { length: 4 } }, 5)).toThrow(
      "completion is empty",
    );
  expect(() => positionsOf("prompt-last", { promptLength: 0, tokens: { length: 3 } })).toThrow(
    "prompt is empty",
  );
  expect(() => positionsOf("follow-up", { promptLength: 4, tokens: { length: 7 } })).toThrow("without one");
});

test("a sequence has a logit per position and one for all", () => {
  const activations_PD = Float32Array.of(1, 0, 0, 1, 3, 1);
  expect(scoreSequence(probe, activations_PD)).toEqual({
    logit: 0.5,
    logits_P: Float64Array.of(1.5, -1.5, 1.5),
  });
  const byMaximum = { ...probe, tap: { ...probe.tap, pool: "max" as const } };
  expect(scoreSequence(byMaximum, activations_PD).logit).toBe(1.5);
});

test("the mean of the logits is the logit of the mean activation", () => {
  const positions = fc.array(fc.tuple(fc.integer({ min: -99, max: 99 }), fc.integer({ min: -99, max: 99 })), {
    minLength: 1,
  });
  fc.assert(
    fc.property(positions, (rows) => {
      const activations_PD = Float32Array.from(rows.flat());
      expect(scoreSequence(probe, activations_PD).logit).toBeCloseTo(
        logit(probe, poolActivations(activations_PD, 2)),
        4,
      );
    }),
  );
});

test("the largest logit may be negative", () => {
  expect(poolLogits([-3, -2], "max")).toBe(-2);
  expect(poolLogits([-3, -2], "mean")).toBe(-2.5);
});

test("the sigmoid is exact in both tails", () => {
  expect(sigmoid(0)).toBe(0.5);
  expect(sigmoid(-50)).toBeCloseTo(Math.exp(-50), 30);
  expect(sigmoid(-1000)).toBe(0);
  expect(sigmoid(1000)).toBe(1);
});

test("activations of another length are refused", () => {
  expect(() => logit(probe, new Float32Array(3))).toThrow("length 2, got one of 3");
  expect(() => scoreSequence(probe, new Float32Array(3))).toThrow("3 numbers");
  expect(() => poolActivations(new Float32Array(0), 2)).toThrow("0 numbers");
  expect(() => poolLogits([], "mean")).toThrow("no logits");
});

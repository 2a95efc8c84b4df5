import fc from "fast-check";
import { expect, test } from "vitest";
import { decompose } from "./decomposition.ts";

const score = fc.double({ min: 0, max: 1, noNaN: true });
const table = fc.record({
  oldTextOldModel: score,
  newTextOldModel: score,
  oldTextNewModel: score,
  newTextNewModel: score,
});

test("the shares sum to the total change", () => {
  fc.assert(
    fc.property(table, (scores) => {
      const { total, text, model } = decompose(scores);
      expect(text + model).toBeCloseTo(total, 12);
    }),
  );
});

test("text and model trade places when the table is transposed", () => {
  fc.assert(
    fc.property(table, (scores) => {
      const transposed = {
        ...scores,
        newTextOldModel: scores.oldTextNewModel,
        oldTextNewModel: scores.newTextOldModel,
      };
      const one = decompose(scores);
      const other = decompose(transposed);
      expect(other.text).toBeCloseTo(one.model, 12);
      expect(other.interaction).toBeCloseTo(one.interaction, 12);
    }),
  );
});

test("an effect of the text alone, of the model alone, and of both together", () => {
  const scores = { oldTextOldModel: 1, newTextOldModel: 1, oldTextNewModel: 1, newTextNewModel: 1 };
  expect(decompose({ ...scores, newTextOldModel: 0, newTextNewModel: 0 })).toEqual({
    total: -1,
    text: -1,
    model: 0,
    interaction: 0,
  });
  expect(decompose({ ...scores, oldTextNewModel: 0, newTextNewModel: 0 })).toEqual({
    total: -1,
    text: 0,
    model: -1,
    interaction: 0,
  });
  expect(decompose({ ...scores, newTextNewModel: 0 })).toEqual({
    total: -1,
    text: -0.5,
    model: -0.5,
    interaction: -1,
  });
});

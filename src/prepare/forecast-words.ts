/** @file Forecasts in words: will this penalty do, what is the smallest that lasts, when the blind spot takes over, what recall will be. */

import type { ArmForecast } from "../store/index.ts";

/** An answer to each question, a sentence each. */
export function forecastInWords(
  { misbehaviour, undetected, recall, true: right }: ArmForecast,
  smallest?: { weight: number; strength: number | null } | undefined,
): string[] {
  const last = misbehaviour.steps.length - 1;
  const end = misbehaviour.steps[last]! + 1;
  const at = ({ value, low, high }: ArmForecast["recall"], i = last) =>
    `${show(value[i]!)} (${show(low[i]!)} to ${show(high[i]!)})`;
  const start = misbehaviour.value[0]!;
  const verdict =
    misbehaviour.high[last]! < start
      ? "Misbehaviour will fall"
      : misbehaviour.low[last]! > start
        ? "Misbehaviour will grow"
        : misbehaviour.value[last]! < start
          ? "Misbehaviour should fall, which is not sure"
          : "Misbehaviour should grow, which is not sure";
  const sentences = [
    `${verdict}: ${show(start)} at the start, ${at(misbehaviour)} after ${end} steps; true reward ${show(right.value[0]!)} to ${at(right)}.`,
  ];
  if (smallest)
    sentences.push(
      smallest.strength === null
        ? `No penalty up to ${show(4 * smallest.weight)} lasts: misbehaviour is not less at the end than at the start.`
        : `The smallest penalty that lasts is about ${show(smallest.strength * smallest.weight)}.`,
    );
  const taken = misbehaviour.steps.findIndex(
    (_, i) => misbehaviour.value[i]! > 0.005 && undetected.value[i]! > misbehaviour.value[i]! / 2,
  );
  sentences.push(
    taken < 0
      ? `Most of it stays detected: ${at(undetected)} undetected at the end.`
      : taken === 0
        ? `Most of it is undetected from the start: ${at(undetected)} at the end.`
        : `The blind spot takes over at about step ${undetected.steps[taken]}: ${at(undetected)} undetected at the end.`,
    `Recall of the initial probe: ${show(recall.value[0]!)} now, ${at(recall)} at the end.`,
  );
  return sentences;
}

function show(value: number): string {
  return value.toFixed(2);
}

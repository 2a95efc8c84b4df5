import fc from "fast-check";
import { expect, test } from "vitest";
import { normal, randomFor } from "../random.ts";
import {
  exchangeRateOf,
  predictExchangeRate,
  realisedExchangeRate,
  realisedOverSteps,
} from "./exchange-rate.ts";

test.each([
  [0.5, 0.99, 0.01, 0.01 / 0.98],
  [0.5, 0.8, 0.1, 0.18 / 0.7],
  [0.2, 1, 0.3, 0],
])("with m %d, t %d, f %d the rate is %d", (m, t, f, expected) => {
  expect(exchangeRateOf({ m, t, f })).toBeCloseTo(expected, 2);
  expect(exchangeRateOf({ m, t, f })).toBeCloseTo(
    ((m * t + (1 - m) * f) * (1 - t)) / ((1 - m) * (t - f)),
    12,
  );
});

test("m 0.5, t 0.99, f 0.01 gives 0.0102", () => {
  expect(exchangeRateOf({ m: 0.5, t: 0.99, f: 0.01 })).toBeCloseTo(0.010204081632653, 12);
});

test("a replicator step moves undetected and all misbehaviour in this ratio", () => {
  const share = fc.double({ min: 0.05, max: 0.95, noNaN: true });
  fc.assert(
    fc.property(share, share, share, (m, t, f) => {
      fc.pre(t > f + 0.02);
      // States (M, D) with their probabilities; the reward is -alpha D.
      const states = [
        { M: 1, D: 1, p: m * t },
        { M: 1, D: 0, p: m * (1 - t) },
        { M: 0, D: 1, p: (1 - m) * f },
        { M: 0, D: 0, p: (1 - m) * (1 - f) },
      ];
      const alpha = 1e-5;
      const weighted = states.map((state) => ({ ...state, p: state.p * Math.exp(-alpha * state.D) }));
      const total = weighted.reduce((sum, { p }) => sum + p, 0);
      const after = weighted.map(({ p }) => p / total);
      const misbehaviourLost = m - (after[0]! + after[1]!);
      const undetectedGained = after[1]! - m * (1 - t);
      expect(undetectedGained / misbehaviourLost / exchangeRateOf({ m, t, f })!).toBeCloseTo(1, 3);
    }),
  );
});

/** Rollouts with exactly these counts of (misbehaved, flagged). */
function rollouts(caught: number, missed: number, falseAlarms: number, clean: number) {
  const repeat = <T>(value: T, times: number) => Array.from({ length: times }, () => value);
  return {
    misbehaved: [...repeat(true, caught + missed), ...repeat(false, falseAlarms + clean)],
    penalised: [...repeat(1, caught), ...repeat(0, missed), ...repeat(1, falseAlarms), ...repeat(0, clean)],
  };
}

test("predicted from flags, it is the closed form of their rates, inside its interval", () => {
  const { value, low, high } = predictExchangeRate(rollouts(80, 20, 10, 90), randomFor("predict"))!;
  expect(value).toBeCloseTo(exchangeRateOf({ m: 0.5, t: 0.8, f: 0.1 })!, 12);
  expect(low!).toBeLessThan(value);
  expect(high!).toBeGreaterThan(value);
  expect(high! - low!).toBeLessThan(0.4);
});

test("more rollouts make the interval narrower", () => {
  const width = (scale: number) => {
    const estimate = predictExchangeRate(
      rollouts(80 * scale, 20 * scale, 10 * scale, 90 * scale),
      randomFor("width"),
    )!;
    return estimate.high! - estimate.low!;
  };
  expect(width(4) / width(1)).toBeCloseTo(0.5, 1);
});

test("predicted from probabilities, it lies near the flags' rate for a sure probe", () => {
  const random = randomFor("scores");
  const { misbehaved, penalised } = rollouts(99, 1, 1, 99);
  const scores = penalised.map((flag) =>
    Math.min(1, Math.max(0, Math.abs(flag - Math.abs(normal(random)) * 0.001))),
  );
  const byScores = predictExchangeRate({ misbehaved, penalised: scores }, random)!;
  expect(byScores.value).toBeCloseTo(exchangeRateOf({ m: 0.5, t: 0.99, f: 0.01 })!, 2);
});

test("where the penalty does not pull, there is no rate", () => {
  const random = randomFor("none");
  expect(exchangeRateOf({ m: 0.5, t: 0.1, f: 0.1 })).toBeNull();
  expect(exchangeRateOf({ m: 0, t: 0.9, f: 0.1 })).toBeNull();
  expect(exchangeRateOf({ m: 1, t: 0.9, f: 0.1 })).toBeNull();
  for (const batch of [
    rollouts(0, 0, 5, 5),
    rollouts(5, 5, 0, 0),
    rollouts(5, 5, 5, 5),
    rollouts(2, 8, 8, 2),
    rollouts(0, 0, 0, 0),
  ])
    expect(predictExchangeRate(batch, random)).toBeNull();
  // One caught hack in a hundred rollouts: a third of the resamples lack it.
  expect(predictExchangeRate(rollouts(1, 0, 0, 99), random)).toBeNull();
});

test("realised: health lost over misbehaviour removed, against the control's drift", () => {
  const arm = [0.9, 0.92, 0.91].map((health, i) => ({ health, misbehaviour: 0.02 * i }));
  const control = [0.98, 0.97, 0.99].map((health, i) => ({ health, misbehaviour: 0.9 + 0.02 * i }));
  const { value, low, high } = realisedExchangeRate(arm, control)!;
  // Lost 0.08, 0.05, 0.08; removed 0.9 each time: a mean of 0.07 and its t interval, over 0.9.
  expect(value).toBeCloseTo(0.07 / 0.9, 12);
  expect(low).toBeCloseTo((0.07 - 4.302653 * 0.01) / 0.9, 5);
  expect(high).toBeCloseTo((0.07 + 4.302653 * 0.01) / 0.9, 5);
});

test("realised: Fieller's interval holds the true ratio in 95 % of studies", () => {
  const random = randomFor("fieller");
  let held = 0;
  for (let study = 0; study < 3000; study++) {
    const runs = Array.from({ length: 3 }, () => ({
      health: -0.2 + 0.05 * normal(random),
      misbehaviour: -0.8 + 0.05 * normal(random),
    }));
    const control = runs.map(() => ({ health: 0, misbehaviour: 0 }));
    const { low, high } = realisedExchangeRate(runs, control)!;
    if (low! <= 0.25 && high! >= 0.25) held++;
  }
  expect(Math.abs(held / 3000 - 0.95)).toBeLessThan(0.015);
});

test("realised: undefined without misbehaviour removed, without health, without seeds; no interval for one seed", () => {
  const run = (health: number | null, misbehaviour: number) => ({ health, misbehaviour });
  expect(realisedExchangeRate([run(0.9, 0.5)], [run(1, 0.5)])).toBeNull();
  expect(realisedExchangeRate([run(null, 0)], [run(1, 0.5)])).toBeNull();
  expect(realisedExchangeRate([], [])).toBeNull();
  expect(realisedExchangeRate([run(0.5, 0)], [run(1, 1)])).toEqual({ value: 0.5, low: null, high: null });
  // Removed 0.8 and -0.2: not different from 0.
  const noisy = realisedExchangeRate([run(0.9, 0), run(0.9, 1)], [run(1, 0.8), run(1, 0.8)])!;
  expect(noisy).toMatchObject({ low: null, high: null });
  expect(() => realisedExchangeRate([run(1, 0)], [])).toThrow("same seeds");
});

test("predicted from a score, misses are what the flag misses", () => {
  // S is 2 where flagged and 1 elsewhere: the covariances with any statistic are those of the flag.
  const { misbehaved, penalised } = rollouts(80, 20, 10, 90);
  const flagged = penalised.map((flag) => flag === 1);
  const scores = penalised.map((flag) => 1 + flag);
  const byFlag = predictExchangeRate({ misbehaved, penalised }, randomFor("flags"))!;
  const byScore = predictExchangeRate({ misbehaved, penalised: scores, flagged }, randomFor("flags"))!;
  expect(byScore.value).toBeCloseTo(byFlag.value, 10);
  expect(byScore.low!).toBeCloseTo(byFlag.low!, 10);
});

test("its interval widens where rollouts of a prompt are alike", () => {
  const random = randomFor("clusters");
  // Eight copies of each of 400 prompts' rollout: 400 observations, so that it should be sqrt(8) = 2.8 times as wide.
  const kinds = Array.from({ length: 400 }, () => {
    const bad = random() < 0.5;
    return { bad, flag: random() < (bad ? 0.7 : 0.2) };
  });
  const list = kinds.flatMap((kind, prompt) =>
    Array.from({ length: 8 }, () => ({ ...kind, prompt: String(prompt) })),
  );
  const data = { misbehaved: list.map(({ bad }) => bad), penalised: list.map(({ flag }) => Number(flag)) };
  const width = (clusters?: string[]) => {
    const { low, high } = predictExchangeRate(
      { ...data, ...(clusters && { clusters }) },
      randomFor("width"),
    )!;
    return high! - low!;
  };
  const single = width();
  const clustered = width(list.map(({ prompt }) => prompt));
  expect(clustered / single).toBeGreaterThan(2);
  expect(clustered / single).toBeLessThan(4);
});

test("realised over steps, it is the ratio of two slopes against the control", () => {
  const control = Array.from({ length: 10 }, (_, t) => ({ misbehaviour: 0.3 + 0.02 * t, missed: 0.03 }));
  const run = control.map(({ misbehaviour, missed }, t) => ({
    misbehaviour: misbehaviour - 0.04 * t,
    missed: missed + 0.003 * t,
  }));
  const { value, low, high } = realisedOverSteps(run, control, randomFor("steps"))!;
  expect(value).toBeCloseTo(0.075, 10);
  expect(low!).toBeCloseTo(0.075, 10);
  expect(high!).toBeCloseTo(0.075, 10);
  const noisy = run.map(({ misbehaviour, missed }, t) => ({
    misbehaviour,
    missed: missed + (t % 2 ? 0.01 : -0.01),
  }));
  const wide = realisedOverSteps(noisy, control, randomFor("steps"))!;
  expect(wide.low!).toBeLessThan(0.075);
  expect(wide.high!).toBeGreaterThan(0.075);
  expect(realisedOverSteps(control, run, randomFor("steps"))).toBeNull();
  expect(realisedOverSteps([], [], randomFor("steps"))).toBeNull();
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { learningRateAt, type Schedule } from "./schedule.ts";

describe("learningRateAt", () => {
  it("warms up linearly to the peak", () => {
    const rates = [0, 1, 2, 3, 4, 1000].map((step) => learningRateAt(step, { peak: 2, warmupSteps: 4 }));
    expect(rates).toEqual([0.5, 1, 1.5, 2, 2, 2]);
  });

  it("decays along a line or half a cosine", () => {
    const at = (schedule: Omit<Schedule, "peak">) =>
      [0, 2, 4, 8, 9].map((step) => learningRateAt(step, { peak: 1, totalSteps: 8, ...schedule }));
    expect(at({ decay: "linear" })).toEqual([1, 0.75, 0.5, 0, 0]);
    expect(at({ decay: "linear", floor: 0.5 })).toEqual([1, 0.875, 0.75, 0.5, 0.5]);
    const cosine = at({ decay: "cosine" });
    [1, (1 + Math.SQRT1_2) / 2, 0.5, 0, 0].forEach((rate, i) => {
      expect(cosine[i]).toBeCloseTo(rate, 12);
    });
  });

  it("rises during warm-up, never rises afterwards, and stays within (0, peak] while training", () =>
    fc.assert(
      fc.property(
        fc.constantFrom("constant" as const, "linear" as const, "cosine" as const),
        fc.nat(20),
        fc.integer({ min: 1, max: 50 }),
        (decay, warmupSteps, more) => {
          const schedule = { peak: 3, warmupSteps, decay, totalSteps: warmupSteps + more };
          for (let step = 0; step < schedule.totalSteps; step++) {
            const [rate, next] = [learningRateAt(step, schedule), learningRateAt(step + 1, schedule)];
            expect(rate).toBeGreaterThan(0);
            expect(rate).toBeLessThanOrEqual(3);
            if (step + 1 < warmupSteps) expect(next).toBeGreaterThan(rate);
            else expect(next).toBeLessThanOrEqual(3);
            if (step >= warmupSteps) expect(next).toBeLessThanOrEqual(rate);
          }
        },
      ),
    ));

  it("refuses to decay without knowing the end", () => {
    expect(() => learningRateAt(5, { peak: 1, decay: "linear" })).toThrow("none given");
    expect(() => learningRateAt(5, { peak: 1, decay: "cosine", warmupSteps: 5, totalSteps: 5 })).toThrow(
      "needs more total steps (5) than warm-up steps (5)",
    );
  });
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { normal, randomFor } from "../random.ts";
import { fitLogistic } from "./logistic.ts";
import { sigmoid } from "./score.ts";
import { weightedGram } from "./weighted-gram.ts";

const columns = (values: number[]) => values.map((value) => [value]);

function gaussians(N: number, D: number, distance: number) {
  const random = randomFor("logistic", N, D, distance);
  const labels = Array.from({ length: N }, (_, n) => n % 3 === 0);
  const activations_ND = labels.map((label) =>
    Array.from({ length: D }, (_, d) => normal(random) * (1 + d) + (label ? distance : 0) + 10 * d),
  );
  return { activations_ND, labels };
}

/** The gradient of the documented objective at a solution, in standardised features; then the bias's. */
function gradientAt({ activations_ND, labels }: ReturnType<typeof gaussians>, l2: number) {
  const { weight_D, bias } = fitLogistic({ activations_ND, labels }, { l2 });
  const N = labels.length;
  const positives = labels.filter(Boolean).length;
  const residuals = activations_ND.map((a, n) => {
    const z = a.reduce((sum, x, d) => sum + x * weight_D[d]!, bias);
    return ((sigmoid(z) - Number(labels[n])) * 0.5) / (labels[n] ? positives : N - positives);
  });
  const gradient = Array.from(weight_D, (weight, d) => {
    const column = activations_ND.map((a) => a[d]!);
    const mean = column.reduce((sum, x) => sum + x) / N;
    const deviation = Math.sqrt(column.reduce((sum, x) => sum + (x - mean) ** 2, 0) / N);
    return (
      residuals.reduce((sum, r, n) => sum + (r * (column[n]! - mean)) / deviation, 0) +
      l2 * weight * deviation
    );
  });
  return [...gradient, residuals.reduce((sum, r) => sum + r)];
}

test.each([
  [100, 64, 0, 1e-2],
  [40, 64, 0, 1e-2],
  [40, 64, 1, 1e-6],
  [300, 8, 1, 1e-2],
  [300, 8, 1, 1e-6],
  [200, 8, 100, 1e-2],
  [200, 8, 100, 1e-8],
])("the gradient is zero at the solution (N %d, D %d, distance %d, l2 %d)", (N, D, distance, l2) => {
  const gradient = gradientAt(gaussians(N, D, distance), l2);
  expect(Math.max(...gradient.map(Math.abs))).toBeLessThan(3e-8);
});

test("two points: the standardised weight solves l2 w = 1 / (1 + exp(w))", () => {
  // Points at 3 and 7 have mean 5 and deviation 2, so they are -1 and +1 when standardised.
  const { weight_D, bias } = fitLogistic(
    { activations_ND: columns([3, 7]), labels: [false, true] },
    { l2: 0.1 },
  );
  const w = weight_D[0]! * 2;
  expect(0.1 * w).toBeCloseTo(1 / (1 + Math.exp(w)), 8);
  expect(bias + 5 * weight_D[0]!).toBeCloseTo(0, 8);
});

test("a feature that is 0 or 1: without a penalty, the logits are the log-odds in the balanced data", () => {
  // Of the misbehaving, 3 in 4 have the feature; of the honest, 1 in 5.
  const values = [1, 1, 1, 0, 1, 0, 0, 0, 0];
  const labels = values.map((_, n) => n < 4);
  const { weight_D, bias } = fitLogistic({ activations_ND: columns(values), labels }, { l2: 1e-10 });
  expect(bias).toBeCloseTo(Math.log(1 / 4 / (4 / 5)), 6);
  expect(bias + weight_D[0]!).toBeCloseTo(Math.log(3 / 4 / (1 / 5)), 6);
});

test("agrees with plain gradient descent", () => {
  const random = randomFor("descent");
  const labels = Array.from({ length: 60 }, (_, n) => n % 2 === 0);
  // Columns of mean 0 and deviation 1, so that they are their own standardisation.
  const raw = [0, 1].map(() => labels.map((label) => normal(random) + (label ? 0.7 : 0)));
  const standard = raw.map((column) => {
    const mean = column.reduce((a, b) => a + b) / 60;
    const deviation = Math.sqrt(column.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 60);
    return column.map((x) => (x - mean) / deviation);
  });
  const l2 = 0.05;
  let [u, v, b] = [0, 0, 0];
  for (let step = 0; step < 5000; step++) {
    let [du, dv, db] = [l2 * u, l2 * v, 0];
    labels.forEach((label, n) => {
      const [x, y] = [standard[0]![n]!, standard[1]![n]!];
      const residual = (1 / (1 + Math.exp(-(u * x + v * y + b))) - Number(label)) / 60;
      du += residual * x;
      dv += residual * y;
      db += residual;
    });
    [u, v, b] = [u - du, v - dv, b - db];
  }
  const activations_ND = labels.map((_, n) => [standard[0]![n]!, standard[1]![n]!]);
  const { weight_D, bias } = fitLogistic({ activations_ND, labels }, { l2 });
  expect(weight_D[0]).toBeCloseTo(u, 6);
  expect(weight_D[1]).toBeCloseTo(v, 6);
  expect(bias).toBeCloseTo(b, 6);
});

test("shifting and scaling the features does not change the logits", () => {
  const set = gaussians(120, 3, 1);
  const moved = set.activations_ND.map(([a, b, c]) => [1000 * a! - 5, b! / 50 + 3, -c!]);
  const one = fitLogistic(set);
  const other = fitLogistic({ activations_ND: moved, labels: set.labels });
  for (let n = 0; n < 10; n++) {
    const logit = set.activations_ND[n]!.reduce((sum, x, d) => sum + x * one.weight_D[d]!, one.bias);
    expect(moved[n]!.reduce((sum, x, d) => sum + x * other.weight_D[d]!, other.bias)).toBeCloseTo(logit, 6);
  }
});

test("repeating the examples of one class changes nothing", () => {
  const { activations_ND, labels } = gaussians(90, 3, 1);
  const repeated = [...labels.keys()].flatMap((n) => (labels[n] ? [n, n, n, n] : [n]));
  const expand = <T>(items: T[]) => repeated.map((n) => items[n]!);
  // Standardisation depends on the mix; a vanishing penalty makes the solution free of it.
  const one = fitLogistic({ activations_ND, labels }, { l2: 1e-9 });
  const other = fitLogistic({ activations_ND: expand(activations_ND), labels: expand(labels) }, { l2: 1e-9 });
  expect(other.bias).toBeCloseTo(one.bias, 4);
  one.weight_D.forEach((weight, d) => {
    expect(other.weight_D[d]).toBeCloseTo(weight, 4);
  });
});

test("constant features get no weight", () => {
  const labels = [true, false, true, false];
  const activations_ND = [1, -1, 2, -2].map((x) => Float32Array.of(x, 1e6, 0));
  const { weight_D } = fitLogistic({ activations_ND, labels });
  expect(weight_D[0]).toBeGreaterThan(0);
  expect([...weight_D.subarray(1)]).toEqual([0, 0]);
});

test("what cannot be fitted is an error that says why", () => {
  const solve = (values: number[], labels: boolean[], l2 = 0.01) =>
    fitLogistic({ activations_ND: columns(values), labels }, { l2 });
  expect(() => solve([], [])).toThrow("found none");
  expect(() => solve([1, 2], [true, true])).toThrow("found misbehaving ones only");
  expect(() => solve([1, Number.NaN], [true, false])).toThrow("activation 1 is NaN");
  expect(() => solve([1, 2], [true, false], 0)).toThrow("must be positive");
  expect(() => solve([1, 2, 3], [true, false])).toThrow("3 activations but 2 labels");
  expect(() => fitLogistic({ activations_ND: [[1], [1, 2]], labels: [true, false] })).toThrow("length 2");
});

test("the weighted Gram matrix is what its formula says, for any number of rows", () => {
  const vectors = fc.array(fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 4, maxLength: 4 }), {
    minLength: 1,
    maxLength: 9,
  });
  fc.assert(
    fc.property(vectors, (rows) => {
      const x_NE = rows.map((row) => Float64Array.from(row.slice(0, 3)));
      const c_N = Float64Array.from(rows, (row) => row[3]!);
      const gram = weightedGram(x_NE, c_N);
      for (let i = 0; i < 3; i++)
        for (let j = i; j < 3; j++)
          expect(gram[3 * i + j]! + 0).toBe(
            rows.reduce((sum, row) => sum + row[3]! * row[i]! * row[j]!, 0) + 0,
          );
    }),
  );
});

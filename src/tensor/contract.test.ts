/** @file Every runtime against the contract, and the contract against runtimes that break it. */

import { describe, expect, it } from "vitest";
import { runtimeContract } from "./contract.ts";
import { drawToken } from "./draw.ts";
import { onnxRuntime } from "./onnx/runtime.ts";
import type { Runtime } from "./runtime.ts";

describe("ONNX Runtime", () => {
  it.each(runtimeContract)("$promise", ({ check }) => check(onnxRuntime));
});

describe("the contract notices a runtime", () => {
  const breaks: [name: string, promise: RegExp, change: Partial<Runtime>][] = [
    [
      "that changes numbers",
      /put/,
      { get: async (handle) => ({ ...(await onnxRuntime.get(handle)), data: new Float32Array(6) }) },
    ],
    ["that keeps what is donated", /donated/, { compile: (program) => onnxRuntime.compile(program) }],
    ["that frees nothing", /donated/, { free: () => {} }],
    ["that copies nothing", /copied/, { copy: async () => {} }],
    [
      "that draws at one temperature",
      /drawn/,
      { draw: (logits, draws) => onnxRuntime.draw(logits, draws, 1) },
    ],
    [
      "that draws from one stream",
      /drawn/,
      {
        draw: (logits, draws, temperature) =>
          onnxRuntime.draw(
            logits,
            draws.map((draw) => ({ ...draw, position: 0 })),
            temperature,
          ),
      },
    ],
    [
      "that decodes without what was drawn before",
      /decoded/,
      {
        decode: async (program, decoding, count) => {
          const drawn = await onnxRuntime.decode(program, decoding, 1);
          return drawn.map(([one]) => Array.from({ length: count }, () => one!));
        },
      },
    ],
  ];
  it.each(breaks)("%s", async (_, promise, change) => {
    const broken: string[] = [];
    for (const clause of runtimeContract)
      await clause.check({ ...onnxRuntime, ...change }).catch(() => broken.push(clause.promise));
    expect(broken.join("; ")).toMatch(promise);
  });
});

describe("drawToken", () => {
  const logits = Float32Array.from([0, 1, -1, 3, 2.5]);

  it("draws as often as the probabilities say", () => {
    const counts = [0, 0, 0, 0, 0];
    const N = 40_000;
    for (let i = 0; i < N; i++)
      counts[drawToken(logits, 1.5, { key: [1234, Math.floor(i / 100)], position: i % 100 }).token]!++;
    const odds = [...logits].map((x) => Math.exp(x / 1.5));
    const total = odds.reduce((a, b) => a + b);
    const chi = counts.reduce(
      (sum, n, v) => sum + (n - (N * odds[v]!) / total) ** 2 / ((N * odds[v]!) / total),
      0,
    );
    // Four degrees of freedom: 18.5 is passed once in a thousand.
    expect(chi).toBeLessThan(18.5);
  });

  it("gives the token's log-probability at the temperature, and the likeliest token at 0", () => {
    const { token, logprob } = drawToken(logits, 0.7, { key: [5, 6], position: 1 });
    const odds = [...logits].map((x) => Math.exp(x / 0.7));
    expect(logprob).toBeCloseTo(Math.log(odds[token]! / odds.reduce((a, b) => a + b)), 6);
    expect(drawToken(logits, 0, { key: [5, 6], position: 1 })).toEqual({ token: 3, logprob: 0 });
  });

  it("is as exact for a large vocabulary of all sizes of logits, and says where one is not a number", () => {
    const wide = Float32Array.from({ length: 50_000 }, (_, v) => 12 * Math.sin(v * v) - (v % 7) * 20);
    const largest = wide.reduce((a, b) => Math.max(a, b));
    const total = wide.reduce((sum, x) => sum + Math.exp((x - largest) / 0.9), 0);
    for (let i = 0; i < 20; i++) {
      const { token, logprob } = drawToken(wide, 0.9, { key: [i, 3], position: i });
      expect(Math.abs(logprob - ((wide[token]! - largest) / 0.9 - Math.log(total)))).toBeLessThan(2e-8);
    }
    const masked = Float32Array.from([0, -Infinity, -Infinity]);
    expect(drawToken(masked, 1, { key: [1, 2], position: 0 })).toEqual({ token: 0, logprob: 0 });
    wide[40_000] = Number.NaN;
    expect(drawToken(wide, 0.9, { key: [1, 2], position: 0 }).logprob).toBeNaN();
  });

  it("draws tokens of one row, and of neighbouring positions and keys, apart from each other", () => {
    const flat = new Float32Array(64);
    const pairs = new Map<string, number>();
    const N = 20_000;
    for (let i = 0; i < N; i++) {
      const a = drawToken(flat, 1, { key: [i, 0], position: 0 }).token % 4;
      const b = drawToken(flat, 1, { key: [i, 0], position: 1 }).token % 4;
      const c = drawToken(flat, 1, { key: [i + 1, 0], position: 0 }).token % 4;
      for (const pair of [`p${a}${b}`, `k${a}${c}`]) pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
    }
    for (const kind of ["p", "k"]) {
      const cells = [...pairs].filter(([pair]) => pair.startsWith(kind)).map(([, n]) => n);
      const chi = cells.reduce((sum, n) => sum + (n - N / 16) ** 2 / (N / 16), 0);
      // Fifteen degrees of freedom: 37.7 is passed once in a thousand.
      expect(cells.length).toBe(16);
      expect(chi).toBeLessThan(37.7);
    }
  });
});

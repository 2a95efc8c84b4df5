/** @file What is written is put together token by token, and begins anew with another step or run. */

import { expect, it } from "vitest";
import type { Writing } from "../study/index.ts";
import { type Written, withWriting, writtenSoFar } from "./written.ts";

const told = (step: number, rollout: number, text: string, last = false): Writing => ({
  ...{ arm: "none", seed: 1, step },
  written: [{ rollout, prompt: "1> 2", text, reading: last ? null : 0.5, last }],
});

it("puts completions together, each with what was read at its tokens", () => {
  let written: Written | undefined;
  for (const writing of [told(0, 3, "x"), told(0, 64, "y"), told(0, 3, "=>"), told(0, 3, "", true)])
    written = withWriting(written, writing);
  const [first, second] = [...written!.completions.values()];
  expect([writtenSoFar(first!), first!.ended]).toEqual(["x=>", true]);
  expect(first!.tokens.map(({ reading }) => reading)).toEqual([0.5, 0.5, null]);
  expect([writtenSoFar(second!), second!.ended]).toEqual(["y", false]);
  const next = withWriting(written, told(1, 3, "z"));
  expect([...next.completions.values()].map(writtenSoFar)).toEqual(["z"]);
  expect(withWriting(next, { ...told(1, 3, "w"), arm: "probe-loss" }).completions.size).toBe(1);
});

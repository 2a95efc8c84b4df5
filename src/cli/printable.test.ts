/** @file What a terminal is given of texts that others wrote. */

import fc from "fast-check";
import { expect, it } from "vitest";
import { printable } from "./printable.ts";
import { followInTerminal } from "./progress.ts";

it("writes control characters out, and leaves lines, tabs and other scripts", () => {
  expect(printable("a\u001b]0;title\u0007 \u009b31m\r\n\tb é 漢 \u007f")).toBe(
    "a\\u001b]0;title\\u0007 \\u009b31m\\u000d\n\tb é 漢 \\u007f",
  );
});

it("leaves JSON what it says", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(JSON.parse(printable(JSON.stringify(value, null, 2)))).toEqual(
        JSON.parse(JSON.stringify(value)),
      );
    }),
  );
});

it("is used for what a study tells while it runs", () => {
  let written = "";
  const { onEvent } = followInTerminal({ write: (text) => (written += text) });
  onEvent({ kind: "warning", detail: "the run failed: status 500: \u001b[2Jnothing" });
  expect(written).toBe("warning: the run failed: status 500: \\u001b[2Jnothing\n");
});

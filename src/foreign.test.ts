/** @file A key of a foreign file is read, harmless, off, or refused by its name, with the file and what it holds. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { foreignTable, parseForeign, parseForeignJson } from "./foreign.ts";

const inner = foreignTable({ read: { factor: z.number() }, harmless: [] });
const schema = foreignTable({
  read: { layers: z.int(), rope: inner.optional() },
  harmless: ["name date", "summary_*"],
  off: { window: [false, 0], experts: [[], {}], summary_scale: [1] },
});
const parse = (value: unknown) => parseForeign(schema, value, "config.json");

describe("a table in a foreign file", () => {
  it.each([
    ["what is read", { layers: 2, rope: { factor: 1 } }],
    ["what is harmless, whatever it holds", { layers: 2, name: { deep: [1] }, date: 3, summary_type: "x" }],
    ["what is off", { layers: 2, window: 0, experts: {} }],
    ["what is not set", { layers: 2, whatever: null, window: null }],
  ])("may have %s", (_, value) => {
    expect(parse(value)).toMatchObject({ layers: 2 });
  });

  it.each([
    ["a value at which it is on", { window: 4096 }, /window is 4096, which is not supported; false, 0 is/],
    [
      "one of many that are harmless",
      { summary_scale: 2 },
      /summary_scale is 2, which is not supported; 1 is/,
    ],
    ["a table that is not empty", { experts: { n: 1n } }, /experts is \{"n":1\}, which is not supported/],
    ["a key that nobody knows", { logit_scale: 0.5 }, /logit_scale \(0\.5\) is not known here/],
    ["one within a table", { rope: { factor: 1, mscale: 2 } }, /mscale \(2\) is not known.*at rope\.mscale/s],
    ["one like the name of an object's own", { constructor: 1 }, /constructor \(1\) is not known/],
    ["a long value, cut", { text: "a".repeat(1000) }, /text \("a{59}\.\.\.\) is not known/],
  ])("is refused with %s", (_, value, message) => {
    expect(() => parse({ layers: 2, ...value })).toThrow(message);
    expect(() => parse({ layers: 2, ...value })).toThrow(/^config\.json: /);
  });

  it("is refused with any other key", () => {
    // Zod drops the last one, which sets nothing.
    const known = ["layers", "rope", "name", "date", "window", "experts", "__proto__"];
    fc.assert(
      fc.property(fc.string(), fc.jsonValue(), (key, value) => {
        fc.pre(!known.includes(key) && !key.startsWith("summary_") && value !== null);
        expect(() =>
          parse(
            Object.fromEntries([
              ["layers", 2],
              [key, value],
            ]),
          ),
        ).toThrow("is not known here");
      }),
    );
  });

  it("is refused where the text is cut off, with the file's name and what to do", () => {
    expect(() => parseForeignJson(schema, '{"layers": 2, "na', "x/config.json")).toThrow(
      /^x\/config\.json is damaged: it is not JSON\. Copy or make it again/,
    );
  });
});

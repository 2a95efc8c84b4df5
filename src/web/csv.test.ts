import { expect, test } from "vitest";
import { toCsv } from "./csv.ts";

test("toCsv quotes what needs it, and leaves undefined cells empty", () => {
  const rows = [
    ["plain", 0.1, null],
    ['a "b", c', -1e-7, true],
    ["two\nlines", 3, undefined],
  ];
  expect(toCsv({ header: ["x", "y", "z"], rows })).toBe(
    'x,y,z\r\nplain,0.1,\r\n"a ""b"", c",-1e-7,true\r\n"two\nlines",3,\r\n',
  );
});

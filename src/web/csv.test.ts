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

test("toCsv makes no formulas of text, and leaves numbers as they are", () => {
  const formulas = [
    "=1+1",
    "+1",
    "-x",
    "@SUM(A1)",
    "\t=1",
    '=HYPERLINK("http://elsewhere","a, b")',
    "a=b",
    "'",
  ];
  expect(toCsv({ header: ["-"], rows: formulas.map((text) => [text, -1]) })).toBe(
    [
      "'-",
      "'=1+1,-1",
      "'+1,-1",
      "'-x,-1",
      "'@SUM(A1),-1",
      "'\t=1,-1",
      `"'=HYPERLINK(""http://elsewhere"",""a, b"")",-1`,
      "a=b,-1",
      "',-1",
      "",
    ].join("\r\n"),
  );
});

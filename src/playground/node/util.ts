/** @file `node:util` for a browser: as much as is used. */

export { dequal as isDeepStrictEqual } from "dequal";

/** How Node shows a primitive value. @throws Error for another one */
export function inspect(value: unknown): string {
  if (typeof value === "string") return quoted(value);
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "object" && value !== null) throw new Error("only primitive values are shown here");
  return String(value);
}

const ESCAPES: Record<string, string> = {
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\f": "\\f",
  "\r": "\\r",
  "\\": "\\\\",
};

/** In single quotes, unless there are some in it and another kind is not. */
function quoted(text: string): string {
  const quote =
    ["'", '"', "`"].find((one) => !text.includes(one) && !(one === "`" && text.includes("${"))) ?? "'";
  const unsafe = quote === "'" ? /[\p{Cc}\\']/gu : /[\p{Cc}\\]/gu;
  const escaped = text.replace(unsafe, (one) =>
    one === "'"
      ? "\\'"
      : (ESCAPES[one] ?? `\\x${one.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`),
  );
  const lone = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
  return quote + escaped.replace(lone, (one) => `\\u${one.charCodeAt(0).toString(16).toUpperCase()}`) + quote;
}

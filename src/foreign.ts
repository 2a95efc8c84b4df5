/** @file The rule for files that others write: a key is read, known to leave the numbers alone, or refused by its name. */

import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { parseJson } from "./files.ts";

/** What is known of the keys of a table. A key that is null is not set, whatever it is called. */
export interface KnownKeys<Read extends z.ZodRawShape> {
  read: Read;
  /** Keys that leave the numbers alone, whatever they hold: names with blanks between them; a * stands for any end. */
  harmless: readonly string[];
  /** Keys that change the numbers and are not supported, with the values at which they do not. */
  off?: Readonly<Record<string, readonly unknown[]>>;
}

/**
 * The schema of a table in a file that others write. Whatever its libraries think of next, a setting that would change
 * what is computed is never passed over: keys that are not known are refused.
 */
export function foreignTable<Read extends z.ZodRawShape>({ read, harmless, off = {} }: KnownKeys<Read>) {
  const all = harmless.flatMap((names) => names.split(" "));
  const names = new Set(all);
  const beginnings = all.filter((name) => name.endsWith("*")).map((name) => name.slice(0, -1));
  return z.looseObject(read).superRefine((table, context) => {
    for (const [key, value] of Object.entries(table)) {
      if (Object.hasOwn(read, key) || value === null || value === undefined) continue;
      const values = Object.hasOwn(off, key) ? off[key]! : undefined;
      if (!values && (names.has(key) || beginnings.some((beginning) => key.startsWith(beginning)))) continue;
      if (values?.some((other) => isDeepStrictEqual(other, value))) continue;
      const message = values
        ? `${key} is ${shown(value)}, which is not supported; ${values.map(shown).join(", ")} is`
        : `${key} (${shown(value)}) is not known here, and could change what is computed. If you know that it does not, remove it from the file`;
      context.addIssue({ code: "custom", path: [key], message });
    }
  });
}

/** Checks what a file of others holds. @throws Error naming the file, and each key that is wrong or refused */
export function parseForeign<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** The same for a text of JSON. */
export function parseForeignJson<T>(schema: z.ZodType<T>, text: string, path: string): T {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new Error(`${path} is damaged: ${(error as Error).message}. Copy or make it again`);
  }
  return parseForeign(schema, value, path);
}

/** A value as it stands in the file, cut to what a message has room for. */
export function shown(value: unknown): string {
  const inWords = (_: string, inner: unknown) => (typeof inner === "bigint" ? Number(inner) : inner);
  const text = JSON.stringify(value, inWords) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

/** @file Components of `tokenizer.json`: each has a type, and settings that are all known, or it is refused. */

import { z } from "zod";

/** Makes a component of its settings. `where` says which file and key they are from. */
type Make<T> = (settings: unknown, where: string) => T;

/** The types that a component may have. */
export type Kinds<T> = Readonly<Record<string, Make<T>>>;

/** One type: what may be set, and what is made of it. */
export function kind<S extends z.ZodRawShape, T>(
  shape: S,
  make: (settings: z.infer<z.ZodObject<S>>, where: string) => T,
): Make<T> {
  const schema = z.strictObject({ type: z.string(), ...shape });
  return (settings, where) => {
    const parsed = schema.safeParse(settings);
    if (!parsed.success) throw new Error(`${where}: ${z.prettifyError(parsed.error)}`);
    return make(parsed.data as z.infer<z.ZodObject<S>>, where);
  };
}

/** @throws Error naming the type, or the setting, that is not supported */
export function componentOf<T>(kinds: Kinds<T>, settings: unknown, where: string): T {
  const type = (settings as { type?: unknown } | null)?.type;
  if (typeof type !== "string" || !Object.hasOwn(kinds, type))
    throw new Error(
      `${where}: the type ${JSON.stringify(type)} is not supported; ${Object.keys(kinds).join(", ")} are`,
    );
  return kinds[type]!(settings, where);
}

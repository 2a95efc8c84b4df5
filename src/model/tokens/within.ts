/** @file Work that files of strangers ask for: templates and regular expressions that may never come to an end. */

import { createContext, Script } from "node:vm";

/** Far more than any text needs, also on a busy machine. */
const LIMIT_MS = 10_000;

type Place = { context: { work: (() => unknown) | undefined }; script: Script };

/** Made when it is first needed: a browser, which has none, loads this file and reads no files of strangers. */
let place: Place | undefined;

/**
 * Does something that may take for ever; it is stopped where it takes too long, in the middle of whatever it is at.
 *
 * @param what it is, for the error
 * @throws Error where it was stopped, or whatever it throws
 */
export function withinTime<T>(what: string, work: () => T, limitMs = LIMIT_MS): T {
  place ??= { context: createContext({ work: undefined }) as Place["context"], script: new Script("work()") };
  const { context, script } = place;
  context.work = work;
  try {
    return script.runInContext(context, { timeout: limitMs }) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
    throw new Error(
      `${what} was stopped after ${limitMs / 1000} seconds: it may never end. Do not use this file, or a shorter text`,
    );
  }
}

/** @file Being asked to stop: the first time in order, the second time at once. */

import { StoppedError } from "../errors.ts";

/**
 * Does something that can be asked to stop, by SIGTERM or Ctrl-C. Who asks a second time ends this process.
 *
 * @param action receives what is aborted then
 */
export async function stoppable<T>(action: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  let asked: NodeJS.Signals = "SIGTERM";
  const handlers = (["SIGTERM", "SIGINT"] as const).map((name) => {
    const handler = () => {
      asked = name;
      process.stderr.write("Stopping as soon as what is running can be resumed. Again: at once.\n");
      stop.abort();
    };
    process.once(name, handler);
    return () => process.off(name, handler);
  });
  try {
    return await action(stop.signal);
  } catch (error) {
    if (error instanceof StoppedError) error.signal = asked;
    throw error;
  } finally {
    for (const remove of handlers) remove();
  }
}

/** @file What Node's `process` tells, for a browser's worker. */

import { browserName } from "./browser-name.ts";
import { systemError } from "./volume.ts";

/** A worker is a process of its own; its number has to differ from those of others. */
const pid = 1 + Math.floor(Math.random() * 2 ** 29);

export default {
  pid,
  env: {} as Record<string, string | undefined>,
  versions: { node: browserName() },
  platform: "browser",
  cwd: () => "/",
  /**
   * Is a process there? A tab keeps a lock of its own on a study (`worker.ts`) before anything is asked here: whatever else
   * is named as holder is no more.
   */
  kill(other: number) {
    if (other !== pid) throw systemError("ESRCH", `process ${other}`);
  },
  emitWarning: (text: string) => console.warn(text),
  once() {},
  on() {},
  off() {},
};

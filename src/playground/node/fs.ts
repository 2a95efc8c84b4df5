/** @file `node:fs` for a browser: what can be had at once is what comes with the package and is small. */

import { volume } from "./fs-promises.ts";
import { isOfPackage, packageFileNow, packagePaths } from "./package.ts";
import { systemError } from "./volume.ts";

/** Of how files are opened, what a browser has no need to tell apart. */
export const constants = { O_RDONLY: 0, O_NONBLOCK: 0 };

export function readFileSync(place: string | URL, encoding?: string) {
  const path = place instanceof URL ? decodeURIComponent(place.pathname) : place;
  const bytes = packageFileNow(path);
  return encoding === undefined ? bytes : new TextDecoder().decode(bytes);
}

/** @throws Error for what is not of the package: it can be looked for only */
export function existsSync(path: string): boolean {
  if (isOfPackage(path)) return packagePaths().includes(path);
  throw new Error(`${path} cannot be looked for at once in a browser`);
}

export function readlinkSync(path: string): never {
  throw systemError("ENOENT", path);
}

/** Bytes that are read at a time. */
const PIECE = 2 ** 22;

export async function* createReadStream(path: string): AsyncGenerator<Uint8Array> {
  for (let at = 0; ; at += PIECE) {
    const bytes = await volume.read(path, at, PIECE);
    if (bytes.length > 0) yield bytes;
    if (bytes.length < PIECE) return;
  }
}

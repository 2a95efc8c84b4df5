/** @file What a grid calls a model. */

import { basename } from "node:path";

/** The name of its folder or file: models lie elsewhere on other machines, and slashes are in no folder's name. */
export function modelName(path: string): string {
  return basename(path);
}

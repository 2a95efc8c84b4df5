/** @file What a command line asks for that names a study: its settings, and the folder where it lives. */

import { join, resolve } from "node:path";
import { readStudy } from "../study/index.ts";

/** Flags that say where a study lives and what it starts from; all others are settings. */
interface Asked {
  out?: string;
  quick?: boolean;
  model?: string;
}

/** @throws UsageError naming the setting that is wrong, or the study that is not there */
export async function askedStudy(study: string, { out, quick, model, ...overrides }: Asked) {
  const settings = await readStudy(study, {
    ...overrides,
    ...(quick !== undefined && { quick }),
    ...(model && { model: resolve(model) }),
  });
  const name = study.replace(/^.*[\\/]/, "").replace(/\.ya?ml$/, "");
  return { settings, folder: resolve(out ?? join("runs", quick ? `${name}-quick` : name)) };
}

/** @file What runs start from, made when the site was built for the settings that most visitors begin with. */

import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { unzipSync } from "fflate";
import { isBase } from "../prepare/index.ts";
import { readStudy, type StudySettings } from "../study/index.ts";
import { fetchPacked } from "./packed.ts";

/** Archives by environment; none where the site was built without. */
const archives = import.meta.glob("../../dist/playground-bases/*.zip", {
  query: "?url",
  import: "default",
  eager: true,
}) as Record<string, string>;

/** Puts into a new study's folder what `--quick` would make there, where the settings ask for nothing else. */
export async function layBase(folder: string, settings: StudySettings): Promise<void> {
  const { environment, probe, training, model } = settings;
  const address = archives[`../../dist/playground-bases/${environment}.zip`];
  if (!address || model !== undefined || settings.grid || (await isBase(folder))) return;
  const usual = await readStudy(environment as string, { quick: true });
  if (!isDeepStrictEqual(probe, usual.probe) || training.temperature !== usual.training.temperature) return;
  const files = Object.entries(unzipSync(await fetchPacked(address)));
  // The document that says that all is there comes last.
  for (const [name, bytes] of files.sort(
    ([a], [b]) => Number(a === "base.json") - Number(b === "base.json"),
  )) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  }
}

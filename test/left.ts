/** @file What a study left in its folder, ready to be compared: every file but the times in it. */

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";

/** Made from the other files, times included: only that it is there is compared. */
const REPORT = /^report\.html/;

/** The files of a folder, by path: their bytes, or their checksum, but for times and durations in them. */
export async function leftIn(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files: Record<string, string> = {};
  for (const entry of entries.filter((each) => each.isFile())) {
    const path = join(entry.parentPath, entry.name);
    const bytes = await readFile(path);
    files[relative(folder, path)] = REPORT.test(entry.name)
      ? ""
      : entry.name.endsWith(".safetensors")
        ? createHash("sha256").update(bytes).digest("hex")
        : withoutTimes(bytes.toString("utf8"));
  }
  return files;
}

function withoutTimes(text: string): string {
  return text
    .replaceAll(/"step_time":[\d.e-]+/g, '"step_time":0')
    .replaceAll(/"seconds": [\d.]+/g, '"seconds": 0')
    .replaceAll(/"updated": "[^"]+"/g, '"updated": ""');
}

/** @file Finds the studies in a folder. */

import { realpath } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { foldersIn, statIfPresent } from "../store/index.ts";

/** Folders of folders of studies are looked into this deep. */
const DEPTH = 3;

/** A study's folder by its id: the path relative to the folder that is served, with `/`; `.` for that folder itself. */
export type StudyFolders = Map<string, string>;

/** The studies in a folder, which may be one itself. Links that lead out of it are not followed. */
export async function findStudies(root: string): Promise<StudyFolders> {
  const found: StudyFolders = new Map();
  const realRoot = await realpath(root);
  const look = async (folder: string, depth: number): Promise<void> => {
    const real = await realpath(folder).catch(() => undefined);
    if (real === undefined || (real !== realRoot && !real.startsWith(realRoot + sep))) return;
    if (await statIfPresent(join(folder, "study.json"))) {
      found.set(relative(root, folder).split(sep).join("/") || ".", folder);
      return;
    }
    if (depth === 0) return;
    for (const name of (await foldersIn(folder)).sort())
      if (!name.startsWith(".") && name !== "node_modules") await look(join(folder, name), depth - 1);
  };
  await look(root, DEPTH);
  return found;
}

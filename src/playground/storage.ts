/** @file The studies in the browser's storage: listed, handed out as the folder that the command line writes, taken in, removed. */

import { strFromU8, unzip, zip } from "fflate";
import { Volume } from "./node/volume.ts";

const volume = new Volume("probeward");
const ROOT = "/studies";

export interface KeptStudy {
  folder: string;
  name: string;
  /** Runs that are done, and those that there are folders of. */
  done: number;
  runs: number;
  finished: boolean;
}

export async function keptStudies(): Promise<KeptStudy[]> {
  const folders = await volume.list(ROOT).catch(() => []);
  const kept: KeptStudy[] = [];
  for (const [name, { kind }] of folders) {
    const folder = `${ROOT}/${name}`;
    if (kind !== "folder" || !(await has(`${folder}/study.json`))) continue;
    const statuses = (await volume.files(folder)).filter((path) => path.endsWith("/status.json"));
    const states = await Promise.all(statuses.map(async (path) => (await document(path)).state));
    const planned = (await document(`${folder}/study.json`)).planned as { runs?: number } | undefined;
    const done = states.filter((state) => state === "done").length;
    const runs = planned?.runs ?? states.length;
    kept.push({ folder, name, done, runs, finished: (await has(`${folder}/summary.json`)) && done >= runs });
  }
  return kept;
}

/** A study's folder as a zip archive. What says who works in it stays here. */
export async function zipStudy(folder: string): Promise<Uint8Array<ArrayBuffer>> {
  const files: Record<string, Uint8Array> = {};
  for (const path of await volume.files(folder)) {
    const name = path.slice(folder.lastIndexOf("/") + 1);
    if (!/\/(lock|heartbeat)\.[^/]*$/.test(name)) files[name] = await volume.read(path);
  }
  return new Promise((resolve, reject) =>
    // Weights hardly become smaller.
    zip(files, { level: 1 }, (error, bytes) =>
      error ? reject(error) : resolve(bytes as Uint8Array<ArrayBuffer>),
    ),
  );
}

/**
 * Takes in a study's folder, from an archive of it.
 *
 * @returns where it lies now
 * @throws Error where it is no study, one of that name is here, or there is no room; nothing of it stays then
 */
export async function takeIn(archive: Uint8Array): Promise<string> {
  const files = await new Promise<Record<string, Uint8Array>>((resolve, reject) =>
    unzip(archive, (error, data) => (error ? reject(new Error("This is no zip archive.")) : resolve(data))),
  );
  const marker = Object.keys(files).find((name) => /^([^/]+\/)?study\.json$/.test(name));
  if (!marker)
    throw new Error("This is no archive of a study: it holds no study.json, at its top or in one folder.");
  checkStudy(strFromU8(files[marker]!));
  const root = marker.slice(0, -"study.json".length);
  const name = (root.slice(0, -1) || "study").replace(/[^\w.,-]+/g, "-").replace(/^\.+/, "");
  const folder = `${ROOT}/${name || "study"}`;
  if (await has(folder))
    throw new Error(`There is a study ${name} here already. Remove it, or rename the archive's folder.`);
  // The document that makes it a study comes last.
  const names = Object.keys(files).filter((one) => one.startsWith(root) && !one.endsWith("/") && isSafe(one));
  try {
    for (const one of names.sort((a, b) => Number(a === marker) - Number(b === marker))) {
      const path = `${folder}/${one.slice(root.length)}`;
      await volume.makeFolder(path.slice(0, path.lastIndexOf("/")), true);
      await volume.write(path, [files[one]!]);
    }
  } catch (error) {
    await removeStudy(folder);
    throw error;
  }
  return folder;
}

export async function removeStudy(folder: string): Promise<void> {
  await volume.remove(folder, { recursive: true, force: true });
}

/** Bytes that this site has stored, and may store, as far as the browser tells. */
export async function spaceUsed(): Promise<{ used: number; allowed: number } | undefined> {
  const { usage, quota } = (await navigator.storage?.estimate?.()) ?? {};
  return usage === undefined || quota === undefined ? undefined : { used: usage, allowed: quota };
}

/** Parts of a path that lead nowhere else, and no lock of another machine. */
function isSafe(name: string): boolean {
  const parts = name.split("/");
  return (
    parts.every((part) => part !== "" && part !== "." && part !== "..") &&
    !/^(lock|heartbeat)\./.test(parts.at(-1)!)
  );
}

function checkStudy(text: string): void {
  const study = JSON.parse(text) as { settings?: { environment?: unknown } };
  const environment = study.settings?.environment;
  if (environment !== "code" && environment !== "facts" && environment !== "opinion")
    throw new Error(
      "This study's environment is none of code, facts and opinion, which are all that this page has.",
    );
}

async function has(path: string): Promise<boolean> {
  return volume.entry(path).then(
    () => true,
    () => false,
  );
}

async function document(path: string): Promise<Record<string, unknown>> {
  return JSON.parse(new TextDecoder().decode(await volume.read(path))) as Record<string, unknown>;
}

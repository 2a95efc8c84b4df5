/** @file Fetching a checkpoint from the Hugging Face hub: only what is needed, resumed where it stopped, checked. */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ListFileEntry } from "@huggingface/hub";
import { readDecoderConfig } from "./huggingface/config.ts";

/** The files that a model is loaded from, all at the top of a repository. */
const NEEDED = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
  "model.safetensors.index.json",
];
const WEIGHTS = /^model(-\d+-of-\d+)?\.safetensors$/;

export interface PullOptions {
  /** Branch, tag or commit. Default `main`. */
  revision?: string | undefined;
  /** Another hub than Hugging Face's. */
  hubUrl?: string | undefined;
  /** For repositories that are not public. */
  accessToken?: string | undefined;
  /** Receives how many bytes of a file are on disk. */
  onProgress?: (file: string, bytes: number, total: number) => void;
}

/**
 * Downloads a repository's checkpoint to a folder. What is there already, whole, is left; a file that was cut off is gone
 * on with. A file's checksum is the hub's own: SHA-256 of large files, git's of small ones.
 *
 * @returns the names of the files
 * @throws Error where the repository is not there, its architecture is not supported (before weights are downloaded), it
 *   has no safetensors, or a file's checksum is wrong (which is deleted then).
 */
export async function pullModel(repo: string, folder: string, options: PullOptions = {}): Promise<string[]> {
  const { revision = "main", hubUrl, accessToken, onProgress = () => {} } = options;
  const source = { repo, revision, ...(hubUrl && { hubUrl }), ...(accessToken && { accessToken }) };
  // The client is large, and little needs it.
  const { listFiles } = await import("@huggingface/hub");
  const entries: ListFileEntry[] = [];
  try {
    for await (const entry of listFiles(source)) if (entry.type === "file") entries.push(entry);
  } catch (error) {
    throw new Error(`cannot list ${repo} at ${revision}: ${(error as Error).message}`);
  }
  const byName = new Map(entries.map((entry) => [entry.path, entry]));
  const weights = entries.filter(({ path }) => WEIGHTS.test(path));
  if (!byName.has("config.json") || weights.length === 0)
    throw new Error(`${repo} at ${revision} is no checkpoint with config.json and model.safetensors`);

  await mkdir(folder, { recursive: true });
  const files = [...NEEDED.flatMap((name) => byName.get(name) ?? []), ...weights];
  for (const entry of files) {
    await fetchFile(entry, source, folder, onProgress);
    if (entry.path === "config.json") await checkArchitecture(join(folder, entry.path));
  }
  return files.map(({ path }) => path);
}

/** Refuses an unsupported model before its weights are fetched. End tokens may come with a later file. */
async function checkArchitecture(path: string): Promise<void> {
  const json: unknown = JSON.parse(await readFile(path, "utf8"));
  readDecoderConfig(json, { eos_token_id: 0 }, path);
}

async function fetchFile(
  entry: ListFileEntry,
  source: { repo: string; revision: string },
  folder: string,
  onProgress: NonNullable<PullOptions["onProgress"]>,
): Promise<void> {
  const path = join(folder, entry.path);
  const total = entry.lfs?.size ?? entry.size;
  if ((await sizeOnDisk(path)) === total && (await isIntact(path, entry))) {
    onProgress(entry.path, total, total);
    return;
  }
  const partial = `${path}.partial`;
  let done = await sizeOnDisk(partial);
  if (done > total) {
    await rm(partial);
    done = 0;
  }
  if (done < total) {
    // Plain requests for ranges: Hugging Face's other protocol does not go on where it stopped.
    const { downloadFile } = await import("@huggingface/hub");
    const blob = await downloadFile({ ...source, path: entry.path, xet: false });
    if (blob === null) throw new Error(`${source.repo}: ${entry.path} is not there any more`);
    const file = await open(partial, "a");
    try {
      for await (const chunk of blob.slice(done).stream() as unknown as AsyncIterable<Uint8Array>) {
        await file.writeFile(chunk);
        done += chunk.length;
        onProgress(entry.path, done, total);
      }
      await file.sync();
    } finally {
      await file.close();
    }
  } else if (total === 0) await (await open(partial, "a")).close();
  if (done !== total)
    throw new Error(
      `${entry.path}: the connection ended after ${done} of ${total} bytes; run the command again`,
    );
  if (!(await isIntact(partial, entry))) {
    await rm(partial);
    throw new Error(`${entry.path}: its checksum is not the hub's; it was deleted, run the command again`);
  }
  await rename(partial, path);
}

/** Has a file the hub's checksum? */
async function isIntact(path: string, { oid, lfs, size }: ListFileEntry): Promise<boolean> {
  const hash = lfs ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex") === (lfs?.oid ?? oid);
}

async function sizeOnDisk(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}

/** @file Fetching a checkpoint from the Hugging Face hub: only what is needed, resumed where it stopped, checked. */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { parseJson } from "../files.ts";
import { bearer, fetchWithin, isLoopback } from "../network.ts";
import { readDecoderConfig } from "./huggingface/config.ts";

/** The files that a model is loaded from beside weights, all at the top of a repository, and the most bytes of each. */
const NEEDED = {
  "config.json": 1e6,
  "generation_config.json": 1e6,
  "tokenizer.json": 50e6,
  "tokenizer_config.json": 10e6,
  "special_tokens_map.json": 1e6,
  "added_tokens.json": 10e6,
  "chat_template.jinja": 1e6,
  "model.safetensors.index.json": 20e6,
};
const WEIGHTS = /^model(-\d+-of-\d+)?\.safetensors$/;

/** What the list of a repository's files may be: bytes of a page, and pages. A page of the hub has a thousand files. */
const LIST = { bytes: 4e6, pages: 50 };
/** Bytes of an answer that is no file, but says why there is none. */
const LONGEST_ERROR = 1e5;
/** Milliseconds that a hub is waited for when nothing comes. */
const SILENCE = 60_000;

/** A file of a repository, as the hub lists it. */
const entrySchema = z.object({
  path: z.string(),
  oid: z.string(),
  size: z.int().min(0),
  lfs: z.object({ oid: z.string(), size: z.int().min(0) }).optional(),
});

type Entry = z.infer<typeof entrySchema>;

export interface PullOptions {
  /** Branch, tag or commit. Default `main`. */
  revision?: string | undefined;
  /** Another hub than Hugging Face's. */
  hubUrl?: string | undefined;
  /** For repositories that are not public. */
  accessToken?: string | undefined;
  /** Milliseconds that the hub is waited for when nothing comes. Default 60,000. */
  silence?: number;
  /** Receives how many bytes of a file are on disk. */
  onProgress?: (file: string, bytes: number, total: number) => void;
}

/** Where files come from, for the hub's client. */
interface Source {
  repo: string;
  revision: string;
  hubUrl: string;
  fetch: typeof fetch;
}

/**
 * Downloads a repository's checkpoint to a folder. What is there already, whole, is left; a file that was cut off is gone
 * on with. A file's checksum is the hub's own: SHA-256 of large files, git's of small ones.
 *
 * A token is sent to the hub, and to no other server that it refers to.
 *
 * @returns the names of the files
 * @throws Error where the repository is not there, cannot be loaded (its architecture is not supported; it lacks its tokenizer,
 *   or shards: all before weights are downloaded), has no safetensors, or a file's checksum is wrong (which is deleted then).
 */
export async function pullModel(repo: string, folder: string, options: PullOptions = {}): Promise<string[]> {
  const {
    revision = "main",
    hubUrl = "https://huggingface.co",
    accessToken,
    silence = SILENCE,
    onProgress = () => {},
  } = options;
  const end = new AbortController();
  const ask = askHub(hubUrl, accessToken, silence, end.signal);
  const source = { repo, revision, hubUrl: hubUrl.replace(/\/+$/, "") };
  try {
    const entries = await listRepository({ ...source, fetch: ask(LIST.bytes, LIST.pages) });
    const byName = new Map(entries.map((entry) => [entry.path, entry]));
    const weights = entries.filter(({ path }) => WEIGHTS.test(path));
    const where = `${repo} at ${revision}`;
    if (!byName.has("config.json") || weights.length === 0)
      throw new Error(`${where} is no checkpoint with config.json and model.safetensors`);
    if (!byName.has("tokenizer.json"))
      throw new Error(
        `${where} has no tokenizer.json, without which it cannot be loaded${byName.has("tokenizer.model") ? " (tokenizer.model is another form of it)" : ""}. Convert it with transformers (AutoTokenizer.from_pretrained, then save_pretrained), or pull a repository that has one`,
      );

    await mkdir(folder, { recursive: true });
    const small = Object.entries(NEEDED).flatMap(([name, most]) => {
      const entry = byName.get(name);
      if (entry && sizeOf(entry) > most)
        throw new Error(
          `${where}: ${name} has ${sizeOf(entry)} bytes, and so is not what it is called: ${most} are the most`,
        );
      return entry ?? [];
    });
    for (const entry of [...small, ...weights]) {
      if (entry === weights[0]) await checkBeforeWeights(folder, byName);
      const fetch = ask(sizeOf(entry) + LONGEST_ERROR);
      await fetchFile(entry, { ...source, fetch }, folder, onProgress);
      if (entry.path === "config.json") await checkArchitecture(join(folder, entry.path));
    }
    return [...small, ...weights].map(({ path }) => path);
  } finally {
    // Answers that nobody read to their end.
    end.abort();
  }
}

/**
 * Makes what the hub's client asks with: answers of so many bytes, and so many of them. The token goes where the hub is; the
 * client's own would follow to wherever a page or a redirect of the hub's leads.
 *
 * @throws Error where the address is none, or the token would be sent in the clear
 */
function askHub(hubUrl: string, accessToken: string | undefined, silence: number, signal: AbortSignal) {
  const hub = URL.canParse(hubUrl) ? new URL(hubUrl) : undefined;
  if (!hub || !/^https?:$/.test(hub.protocol) || hub.username || hub.password || hub.search || hub.hash)
    throw new Error("the hub's address should be plain, and hold no key, as https://huggingface.co");
  const { origin, protocol, hostname } = hub;
  const authorization = accessToken && bearer(accessToken, "the token (HF_TOKEN)").authorization;
  if (authorization && protocol !== "https:" && !isLoopback(hostname))
    throw new Error(
      `the token (HF_TOKEN) would go to ${origin} unencrypted: give the hub's address with https, or unset it`,
    );
  return (bytes: number, answers = Infinity): typeof fetch =>
    async (input, init) => {
      if (answers-- <= 0) throw new Error("the list of its files has no end");
      const address = new URL(input as string | URL);
      const headers = new Headers(init?.headers);
      if (authorization && address.origin === origin) headers.set("authorization", authorization);
      return fetchWithin(address, { ...init, headers, signal }, { bytes, silence });
    };
}

async function listRepository(source: Source): Promise<Entry[]> {
  // The client is large, and little needs it.
  const { listFiles } = await import("@huggingface/hub");
  try {
    const entries: Entry[] = [];
    for await (const entry of listFiles(source))
      if (entry.type === "file") entries.push(entrySchema.parse(entry));
    return entries;
  } catch (error) {
    const what = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new Error(`cannot list ${source.repo} at ${source.revision}: ${what}`);
  }
}

/** Refuses an unsupported model before its weights are fetched. End tokens may come with a later file. */
async function checkArchitecture(path: string): Promise<void> {
  let json: unknown;
  try {
    json = parseJson(await readFile(path, "utf8"));
  } catch (error) {
    throw new Error(`${path} is not valid: ${(error as Error).message}`);
  }
  readDecoderConfig(json, { eos_token_id: 0 }, path);
}

/** Refuses a checkpoint whose small files cannot be loaded, or of which the repository does not have all. */
async function checkBeforeWeights(folder: string, byName: ReadonlyMap<string, Entry>): Promise<void> {
  const { readAbout } = await import("./huggingface/load.ts");
  await readAbout(folder, parseJson(await readFile(join(folder, "config.json"), "utf8")));
  const name = "model.safetensors.index.json";
  if (!byName.has(name)) return;
  const path = join(folder, name);
  const text = await readFile(path, "utf8");
  let missing: string | undefined;
  try {
    const { weight_map: fileOf } = z
      .object({ weight_map: z.record(z.string(), z.string()) })
      .parse(parseJson(text));
    missing = Object.values(fileOf).find((file) => !byName.has(file));
  } catch (error) {
    const what = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new Error(`${path} is not valid: ${what}`);
  }
  if (missing !== undefined)
    throw new Error(`${path} names the file ${JSON.stringify(missing)}, which the repository does not have`);
}

async function fetchFile(
  entry: Entry,
  source: Source,
  folder: string,
  onProgress: NonNullable<PullOptions["onProgress"]>,
): Promise<void> {
  const path = join(folder, entry.path);
  const total = sizeOf(entry);
  if ((await sizeOnDisk(path)) === total && (await isIntact(path, entry))) {
    onProgress(entry.path, total, total);
    return;
  }
  const partial = `${path}.partial`;
  const begun = await lstat(partial).catch(() => undefined);
  // What is longer than the file is no part of it, and a link leads elsewhere.
  if (begun && !(begun.isFile() && begun.size <= total)) await rm(partial);
  let done = begun?.isFile() && begun.size <= total ? begun.size : 0;
  const file = await open(partial, "a");
  try {
    if (done < total)
      for await (const chunk of bytesOf(entry.path, source, done)) {
        await file.writeFile(chunk);
        done += chunk.length;
        onProgress(entry.path, done, total);
      }
    await file.sync();
  } catch (error) {
    throw new Error(`${entry.path}: ${(error as Error).message ?? error}; run the command again`);
  } finally {
    await file.close();
  }
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

async function* bytesOf(path: string, source: Source, from: number): AsyncGenerator<Uint8Array> {
  // Plain requests for ranges: Hugging Face's other protocol does not go on where it stopped.
  const { downloadFile } = await import("@huggingface/hub");
  const blob = await downloadFile({ ...source, path, xet: false });
  if (blob === null) throw new Error("is not there any more");
  yield* blob.slice(from).stream() as unknown as AsyncIterable<Uint8Array>;
}

function sizeOf({ size, lfs }: Entry): number {
  return lfs?.size ?? size;
}

/** Has a file the hub's checksum? */
async function isIntact(path: string, { oid, lfs, size }: Entry): Promise<boolean> {
  const hash = lfs ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex") === (lfs?.oid ?? oid);
}

async function sizeOnDisk(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}

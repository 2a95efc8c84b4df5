/** @file `node:fs/promises` for a browser: what comes with the package can be read, everything else is in IndexedDB. */

import { resolve } from "pathe";
import { isOfPackage, isPackageFile, packageFile, packagePaths } from "./package.ts";
import { type Entry, systemError, Volume } from "./volume.ts";

export const volume = new Volume("probeward");

type Place = string | URL;
type Content = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

const pathOf = (place: Place) =>
  resolve("/", place instanceof URL ? decodeURIComponent(place.pathname) : place);

function statsOf({ kind, ino, size, mtimeMs }: Entry) {
  return {
    ino,
    size,
    mtimeMs,
    isFile: () => kind === "file",
    isDirectory: () => kind === "folder",
    isSymbolicLink: () => false,
  };
}

export async function stat(place: Place) {
  const path = pathOf(place);
  if (!isOfPackage(path)) return statsOf(await volume.entry(path));
  if (!packagePaths().includes(path)) throw systemError("ENOENT", path);
  const isFile = isPackageFile(path);
  const size = isFile ? (await packageFile(path)).length : 0;
  return statsOf({ kind: isFile ? "file" : "folder", ino: 0, size, mtimeMs: 0 });
}

/** There are no links. */
export const lstat = stat;

export async function access(place: Place): Promise<void> {
  const path = pathOf(place);
  // Nothing is fetched to know that it is there.
  if (!isOfPackage(path)) await volume.entry(path);
  else if (!packagePaths().includes(path)) throw systemError("ENOENT", path);
}

export async function realpath(place: Place): Promise<string> {
  await access(place);
  return pathOf(place);
}

export async function readFile(place: Place, encoding?: string) {
  const path = pathOf(place);
  const bytes = await (isOfPackage(path) ? packageFile(path) : volume.read(path));
  return encoding === undefined ? Buffer.from(bytes) : new TextDecoder().decode(bytes);
}

export async function readdir(place: Place, options?: { withFileTypes?: boolean }) {
  const path = pathOf(place);
  if (isOfPackage(path))
    return packagePaths().flatMap((one) =>
      one.slice(0, one.lastIndexOf("/")) === path ? [one.slice(path.length + 1)] : [],
    );
  const found = await volume.list(path);
  return found.map(([name, entry]) => (options?.withFileTypes ? { name, ...statsOf(entry) } : name));
}

export async function mkdir(place: Place, { recursive = false } = {}): Promise<void> {
  await volume.makeFolder(writable(place), recursive);
}

export async function rename(from: Place, to: Place): Promise<void> {
  await volume.rename(writable(from), writable(to));
}

export async function rm(
  place: Place,
  options: { recursive?: boolean; force?: boolean } = {},
): Promise<void> {
  await volume.remove(writable(place), options);
}

export async function rmdir(place: Place): Promise<void> {
  await volume.remove(writable(place));
}

export async function truncate(place: Place, size: number): Promise<void> {
  await volume.cut(writable(place), size);
}

export async function appendFile(place: Place, content: Content): Promise<void> {
  await volume.write(writable(place), piecesOf(content), { append: true });
}

export async function writeFile(place: Place, content: Content, { flag = "w" } = {}): Promise<void> {
  const may = ({ w: "make", wx: "only-make", "r+": "not-make" } as const)[flag];
  if (!may) throw new Error(`a file is not opened with ${flag} here`);
  await volume.write(writable(place), piecesOf(content), { may });
}

/** To be read, or (`a`) to be made where it is not there. */
export async function open(place: Place, flags: string | number = "r") {
  const path = pathOf(place);
  if (flags === "a") await volume.write(writable(path), [], { append: true });
  await access(path);
  const all = () => (isOfPackage(path) ? packageFile(path) : volume.read(path));
  return {
    stat: () => stat(path),
    readFile: () => readFile(path),
    async read(into: Uint8Array, at: number, count: number, from: number) {
      const bytes = isOfPackage(path)
        ? (await all()).subarray(from, from + count)
        : await volume.read(path, from, count);
      into.set(bytes, at);
      return { bytesRead: bytes.length };
    },
    /** A transaction has ended before the next one begins: nothing that is written later is kept without it. */
    sync: async () => {},
    close: async () => {},
  };
}

/** @throws EROFS */
function writable(place: Place): string {
  const path = pathOf(place);
  if (isOfPackage(path)) throw systemError("EROFS", path);
  return path;
}

function piecesOf(content: Content): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  if (typeof content === "string") return [new TextEncoder().encode(content)];
  return content instanceof Uint8Array ? [content] : content;
}

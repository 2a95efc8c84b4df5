/**
 * @file A file system in IndexedDB. A file's bytes are pieces, each in a record under its first byte's place, so that a line is
 * appended without writing what comes before it; renaming a folder is one transaction, so that it is whole or not done.
 *
 * IndexedDB, and not the origin's private file system: that one cannot rename folders, and opens a file to one tab at a time.
 */

import { type DBSchema, deleteDB, type IDBPDatabase, type IDBPTransaction, openDB } from "idb";

/** A file or a folder, under its path. */
export interface Entry {
  kind: "file" | "folder";
  /** What its pieces are under; stays when it is renamed. */
  ino: number;
  size: number;
  mtimeMs: number;
}

interface Stores extends DBSchema {
  entries: { key: string; value: Entry };
  pieces: { key: [ino: number, at: number]; value: Uint8Array };
  counter: { key: string; value: number };
}

type Change = IDBPTransaction<Stores, ("entries" | "pieces" | "counter")[], "readwrite">;

const ALL = ["entries", "pieces", "counter"] as ("entries" | "pieces" | "counter")[];
/** Bytes of the largest piece that is written: a longer file has several. */
const PIECE = 2 ** 22;

/** An error as Node's file system has it. */
export function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

const inside = (path: string) => IDBKeyRange.bound(`${path}/`, `${path}0`, false, true);
const piecesOf = (ino: number, from = 0) => IDBKeyRange.bound([ino, from], [ino, Infinity]);

export class Volume {
  readonly #name: string;
  #opened: Promise<IDBPDatabase<Stores>> | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  /** What is at a path. @throws ENOENT */
  async entry(path: string): Promise<Entry> {
    const found = path === "/" ? FOLDER : await (await this.#database()).get("entries", path);
    if (found) return found;
    throw systemError("ENOENT", path);
  }

  /** The names in a folder, with what they are. @throws ENOENT, ENOTDIR */
  async list(path: string): Promise<[name: string, entry: Entry][]> {
    if ((await this.entry(path)).kind === "file") throw systemError("ENOTDIR", path);
    const within = path === "/" ? IDBKeyRange.bound("/", "0", true, true) : inside(path);
    const reading = (await this.#database()).transaction("entries");
    const [keys, entries] = await Promise.all([
      reading.store.getAllKeys(within),
      reading.store.getAll(within),
    ]);
    const start = path === "/" ? 1 : path.length + 1;
    return keys.flatMap((key, i) =>
      key.includes("/", start) ? [] : [[key.slice(start), entries[i]!] as [string, Entry]],
    );
  }

  /** All files in a folder and in those within it, by their whole paths. */
  async files(path: string): Promise<string[]> {
    const reading = (await this.#database()).transaction("entries");
    const [keys, entries] = await Promise.all([
      reading.store.getAllKeys(inside(path)),
      reading.store.getAll(inside(path)),
    ]);
    return keys.filter((_, i) => entries[i]!.kind === "file");
  }

  /** Bytes of a file, from a place on; fewer where it ends. @throws ENOENT, EISDIR */
  async read(path: string, from = 0, count = Infinity): Promise<Uint8Array<ArrayBuffer>> {
    const { ino, size, kind } = await this.entry(path);
    if (kind === "folder") throw systemError("EISDIR", path);
    const bytes = new Uint8Array(Math.max(0, Math.min(count, size - from)));
    if (bytes.length === 0) return bytes;
    const { store } = (await this.#database()).transaction("pieces");
    const first = await store.openKeyCursor(IDBKeyRange.bound([ino, 0], [ino, from]), "prev");
    const range = IDBKeyRange.bound([ino, first?.key[1] ?? 0], [ino, from + bytes.length], false, true);
    const [keys, pieces] = await Promise.all([store.getAllKeys(range), store.getAll(range)]);
    keys.forEach(([, at], i) => {
      const skipped = Math.max(0, from - at);
      const to = at + skipped - from;
      bytes.set(pieces[i]!.subarray(skipped, skipped + bytes.length - to), to);
    });
    return bytes;
  }

  /** Makes a folder; those above it, too, where asked. @throws EEXIST, ENOENT, ENOTDIR */
  async makeFolder(path: string, recursive: boolean): Promise<void> {
    await this.#change(async (change) => {
      const parts = path.split("/").filter(Boolean);
      for (const [i] of parts.entries()) {
        const at = `/${parts.slice(0, i + 1).join("/")}`;
        const found = await change.objectStore("entries").get(at);
        const last = i === parts.length - 1;
        if (found?.kind === "file") throw systemError(last ? "EEXIST" : "ENOTDIR", at);
        if (found && last && !recursive) throw systemError("EEXIST", at);
        if (!found && !last && !recursive) throw systemError("ENOENT", at);
        if (!found)
          await change
            .objectStore("entries")
            .put({ ...FOLDER, ino: await fresh(change), mtimeMs: Date.now() }, at);
      }
    });
  }

  /**
   * Writes bytes at the end of a file, or in the place of what is in it.
   *
   * @param may be made, must be made (and not be there), or must be there
   * @throws ENOENT, EEXIST, EISDIR, ENOSPC
   */
  async write(
    path: string,
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    { append = false, may = "make" }: { append?: boolean; may?: "make" | "only-make" | "not-make" } = {},
  ): Promise<void> {
    const ino = await this.#change(async (change) => {
      const entries = change.objectStore("entries");
      const found = await entries.get(path);
      if (found?.kind === "folder") throw systemError("EISDIR", path);
      if (found && may === "only-make") throw systemError("EEXIST", path);
      if (!found && may === "not-make") throw systemError("ENOENT", path);
      if (!found) await requireParent(change, path);
      if (found && append) return found.ino;
      if (found) await change.objectStore("pieces").delete(piecesOf(found.ino));
      const made = found?.ino ?? (await fresh(change));
      await entries.put({ kind: "file", ino: made, size: 0, mtimeMs: Date.now() }, path);
      return made;
    });
    for await (const bytes of pieces)
      for (let at = 0; at < bytes.length; at += PIECE)
        await this.#append(path, ino, bytes.slice(at, at + PIECE));
  }

  /** Cuts a file off. @throws ENOENT */
  async cut(path: string, size: number): Promise<void> {
    await this.#change(async (change) => {
      const entries = change.objectStore("entries");
      const found = await entries.get(path);
      if (!found) throw systemError("ENOENT", path);
      const pieces = change.objectStore("pieces");
      const last = await pieces.openCursor(IDBKeyRange.bound([found.ino, 0], [found.ino, size]), "prev");
      if (last) await pieces.put(last.value.slice(0, size - last.key[1]), last.key);
      await pieces.delete(IDBKeyRange.bound([found.ino, size], [found.ino, Infinity], size > 0));
      if (size === 0 || last?.key[1] === size) await pieces.delete([found.ino, size]);
      await entries.put({ ...found, size, mtimeMs: Date.now() }, path);
    });
  }

  /** Moves a file or a folder with all that is in it; what is a file at the other path is replaced. @throws ENOENT, ENOTEMPTY */
  async rename(from: string, to: string): Promise<void> {
    await this.#change(async (change) => {
      const entries = change.objectStore("entries");
      const found = await entries.get(from);
      if (!found) throw systemError("ENOENT", from);
      if (from === to) return;
      await requireParent(change, to);
      const replaced = await entries.get(to);
      if (replaced?.kind === "folder" && (await entries.count(inside(to))) > 0)
        throw systemError("ENOTEMPTY", to);
      if (replaced) await change.objectStore("pieces").delete(piecesOf(replaced.ino));
      const within = await entries.getAllKeys(inside(from));
      for (const key of [from, ...within]) {
        await entries.put((await entries.get(key))!, to + key.slice(from.length));
        await entries.delete(key);
      }
    });
  }

  /** Removes a file, or a folder with all that is in it. @throws ENOENT, ENOTEMPTY */
  async remove(path: string, { recursive = false, force = false } = {}): Promise<void> {
    await this.#change(async (change) => {
      const entries = change.objectStore("entries");
      const found = await entries.get(path);
      if (!found && force) return;
      if (!found) throw systemError("ENOENT", path);
      const within = await entries.getAllKeys(inside(path));
      if (within.length > 0 && !recursive) throw systemError("ENOTEMPTY", path);
      for (const key of [path, ...within]) {
        await change.objectStore("pieces").delete(piecesOf((await entries.get(key))!.ino));
        await entries.delete(key);
      }
    });
  }

  /** Forgets everything. */
  async destroy(): Promise<void> {
    (await this.#opened)?.close();
    this.#opened = undefined;
    await deleteDB(this.#name);
  }

  async #append(path: string, ino: number, bytes: Uint8Array): Promise<void> {
    await this.#change(async (change) => {
      const found = await change.objectStore("entries").get(path);
      if (found?.ino !== ino) throw systemError("ENOENT", path);
      await change.objectStore("pieces").put(bytes, [ino, found.size]);
      const size = found.size + bytes.length;
      await change.objectStore("entries").put({ ...found, size, mtimeMs: Date.now() }, path);
    });
  }

  /** Does something all of which is done, or nothing. */
  async #change<T>(action: (change: Change) => Promise<T>): Promise<T> {
    const change = (await this.#database()).transaction(ALL, "readwrite");
    // Its end is told below; without this, one that is broken off would be an error that nobody caught.
    const done = change.done.catch((error: unknown) => ({ error }));
    try {
      const result = await action(change);
      change.commit();
      const ended = await done;
      if (ended) throw ended.error;
      return result;
    } catch (error) {
      try {
        change.abort();
      } catch {}
      throw (error as Error)?.name === "QuotaExceededError" ? systemError("ENOSPC", this.#name) : error;
    }
  }

  #database(): Promise<IDBPDatabase<Stores>> {
    this.#opened ??= openDB<Stores>(this.#name, 1, {
      upgrade(database) {
        for (const store of ALL) database.createObjectStore(store as "entries");
      },
    });
    return this.#opened;
  }
}

const FOLDER: Entry = { kind: "folder", ino: 0, size: 0, mtimeMs: 0 };

/** @throws ENOENT where a path's folder is not there */
async function requireParent(change: Change, path: string): Promise<void> {
  const parent = path.slice(0, path.lastIndexOf("/"));
  if (parent !== "" && (await change.objectStore("entries").get(parent))?.kind !== "folder")
    throw systemError("ENOENT", parent);
}

async function fresh(change: Change): Promise<number> {
  const ino = ((await change.objectStore("counter").get("ino")) ?? 0) + 1;
  await change.objectStore("counter").put(ino, "ino");
  return ino;
}

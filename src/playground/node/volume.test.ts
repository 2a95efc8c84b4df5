/** @file The file system in IndexedDB beside a real one: the same changes leave the same files. */

import "fake-indexeddb/auto";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Volume } from "./volume.ts";

const folders = ["/a", "/a/b", "/c"];
const paths = ["/a/x", "/a/b/x", "/a/b/y", "/c/x", "/a/bx"];
const path = fc.constantFrom(...paths);
const bytes = fc.uint8Array({ maxLength: 40 });

/** A change, as each file system makes it. */
interface Change {
  real: (root: string) => Promise<unknown>;
  ours: (volume: Volume) => Promise<unknown>;
}

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ path, bytes }).map(({ path, bytes }) => ({
    real: (root: string) => fs.writeFile(join(root, path), bytes),
    ours: (volume: Volume) => volume.write(path, [bytes]),
  })),
  fc.record({ path, bytes }).map(({ path, bytes }) => ({
    real: (root: string) => fs.appendFile(join(root, path), bytes),
    ours: (volume: Volume) => volume.write(path, [bytes], { append: true }),
  })),
  fc.record({ path, bytes }).map(({ path, bytes }) => ({
    real: (root: string) => fs.writeFile(join(root, path), bytes, { flag: "wx" }),
    ours: (volume: Volume) => volume.write(path, [bytes], { may: "only-make" }),
  })),
  fc.record({ path, size: fc.nat(60) }).map(({ path, size }) => ({
    real: (root: string) => fs.truncate(join(root, path), size),
    ours: (volume: Volume) => volume.cut(path, size),
  })),
  fc.record({ from: path, to: path }).map(({ from, to }) => ({
    real: (root: string) => fs.rename(join(root, from), join(root, to)),
    ours: (volume: Volume) => volume.rename(from, to),
  })),
  fc.constantFrom("/d", "/c/d").map((to) => ({
    real: (root: string) => fs.rename(join(root, "/a/b"), join(root, to)),
    ours: (volume: Volume) => volume.rename("/a/b", to),
  })),
  fc.constantFrom(...paths, ...folders).map((path) => ({
    real: (root: string) => fs.rm(join(root, path), { recursive: true }),
    ours: (volume: Volume) => volume.remove(path, { recursive: true }),
  })),
  fc.constantFrom(...folders).map((path) => ({
    real: (root: string) => fs.mkdir(join(root, path), { recursive: true }),
    ours: (volume: Volume) => volume.makeFolder(path, true),
  })),
);

/** How a change ended: an error by its code. */
const ended = (doing: Promise<unknown>) =>
  doing.then(
    () => "done",
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );

let count = 0;

describe("files in IndexedDB", () => {
  it("are what they are on a disk, whatever is done", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 25 }), async (changes) => {
        const volume = new Volume(`volume-${count++}`);
        const root = await fs.mkdtemp(join(tmpdir(), "probeward-volume-"));
        for (const folder of folders) {
          await fs.mkdir(join(root, folder), { recursive: true });
          await volume.makeFolder(folder, true);
        }
        for (const { real, ours } of changes) expect(await ended(ours(volume))).toBe(await ended(real(root)));
        const left: Record<string, string> = {};
        for (const entry of await fs.readdir(root, { recursive: true, withFileTypes: true })) {
          const full = join(entry.parentPath, entry.name);
          if (entry.isFile()) left[full.slice(root.length)] = (await fs.readFile(full)).toString("hex");
        }
        const kept: Record<string, string> = {};
        for (const top of await volume.list("/"))
          for (const file of await volume.files(`/${top[0]}`))
            kept[file] = Buffer.from(await volume.read(file)).toString("hex");
        expect(kept).toEqual(left);
        for (const file of Object.keys(left)) {
          expect((await volume.list(dirname(file))).map(([name]) => name).sort()).toEqual(
            (await fs.readdir(join(root, dirname(file)))).sort(),
          );
          const part = Buffer.from(await volume.read(file, 3, 11)).toString("hex");
          expect(part).toBe(left[file]!.slice(6, 28));
        }
        await volume.destroy();
        await fs.rm(root, { recursive: true });
      }),
      { numRuns: 60 },
    );
  });

  it("keep nothing of a change that is broken off", async () => {
    const volume = new Volume("broken-off");
    await volume.makeFolder("/a/b", true);
    await volume.write("/a/b/x", [new Uint8Array([1])]);
    await expect(volume.rename("/a/b", "/a")).rejects.toThrow("ENOTEMPTY");
    expect([...(await volume.read("/a/b/x"))]).toEqual([1]);
  });
});

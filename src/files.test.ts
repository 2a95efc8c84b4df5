/** @file Files that somebody else may have put where this program reads and writes. */

import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { z } from "zod";
import { readDocument, writeJson } from "./files.ts";

const newFolder = () => mkdtemp(join(tmpdir(), "probeward-files-"));

it("does not write through a link that lies where a file is written aside, or in its place", async () => {
  const folder = await newFolder();
  const mine = join(await newFolder(), "mine");
  await writeFile(mine, "mine");
  const path = join(folder, "summary.json");
  await symlink(mine, path);
  await symlink(mine, `${path}.partial`);
  await writeJson(path, [1]);
  expect(await readFile(mine, "utf8")).toBe("mine");
  expect(await readDocument(path, z.array(z.int()))).toEqual([1]);
  expect(await readdir(folder)).toEqual(["summary.json"]);
});

it.skipIf(process.platform === "win32")(
  "does not wait for a pipe that has the name of a document",
  async () => {
    const path = join(await newFolder(), "study.json");
    execFileSync("mkfifo", [path]);
    await expect(readDocument(path, z.unknown())).rejects.toThrow(`cannot read ${path}: it is not a file`);
  },
);

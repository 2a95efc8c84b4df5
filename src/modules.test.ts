/** @file Modules of a user's own: where they are, and what they export. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { importModule, resolveModule } from "./modules.ts";

describe("importModule", () => {
  it("also gives the recipe of the base model", async () => {
    const folder = await mkdtemp(join(tmpdir(), "probeward-module-"));
    const path = join(folder, "mine.mjs");
    await writeFile(path, "export const recipe = { layers: 2 };");
    expect((await importModule(path)).recipe).toEqual({ layers: 2 });
    await rm(folder, { recursive: true });
  });
});

describe("resolveModule", () => {
  it("makes paths absolute, and leaves names alone", () => {
    expect(resolveModule("code", "/studies")).toBe("code");
    expect(resolveModule("./mine.js", "/studies")).toBe("/studies/mine.js");
    expect(resolveModule("mine.ts", "/studies")).toBe("/studies/mine.ts");
    expect(resolveModule("/elsewhere/mine.mjs", "/studies")).toBe("/elsewhere/mine.mjs");
  });
});

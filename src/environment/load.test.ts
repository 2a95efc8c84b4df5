/** @file Environments by name and by path: what is loaded, and what is said of what cannot be. */

import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { EnvironmentError, importModule, loadEnvironment, resolveEnvironment } from "./load.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-environment-"));
});

async function module(content: string): Promise<string> {
  const path = join(folder, `${Math.random()}.mjs`);
  await writeFile(path, content);
  return path;
}

const whole = `{
  name: "mine", alphabet: "ab", maxPromptLength: 1, maxCompletionLength: 1, labels: ["right"], families: ["cheat"],
  sample: () => ({ id: "a", prompt: "a", state: null }), demonstrate: () => "a", grade: async () => [], close: async () => {},
}`;

describe("loadEnvironment", () => {
  it("makes one that is built in, by its name", async () => {
    const environment = await loadEnvironment("code");
    expect(environment.name).toBe("code");
    await environment.close();
  });

  it.each(["", "async "])("makes one from a module whose default export is an %sfunction", async (kind) => {
    const path = await module(`export default ${kind}function () { return ${whole}; }`);
    expect((await loadEnvironment(path)).name).toBe("mine");
  });

  it("returns the very object, so that its methods may use `this`", async () => {
    const path = await module(
      `class Mine { constructor() { Object.assign(this, ${whole}); } get secret() { return 7; } }
       export default () => new Mine();`,
    );
    expect((await loadEnvironment(path)) as unknown as { secret: number }).toHaveProperty("secret", 7);
  });

  it.each([
    ["export const environment = 1;", /default export should be a function.*is missing/],
    ["export default 1;", /default export should be a function.*is of type number/],
    ["export default () => 1;", /not an environment:\n {2}it: .*object/],
    [
      `export default () => ({ ...${whole}, alphabet: "", grade: 1 });`,
      /alphabet: .*\n {2}grade: should be a function/,
    ],
    ["export default (", /cannot be loaded: /],
    ["throw new Error('no luck');", /cannot be loaded: no luck/],
  ])("says what is wrong with %j, and where", async (content, message) => {
    const path = await module(content);
    const loading = loadEnvironment(path);
    await expect(loading).rejects.toThrow(EnvironmentError);
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.toThrow(path);
  });

  it("says what to give instead of one that is not there", async () => {
    await expect(loadEnvironment("cod")).rejects.toThrow(/no environment "cod".*code.*my-environment\.js/);
    await expect(loadEnvironment(join(folder, "none.js"))).rejects.toThrow(/none\.js: there is no such file/);
  });
});

describe("importModule", () => {
  it("also gives the recipe of the base model", async () => {
    const path = await module("export const recipe = { layers: 2 };");
    expect((await importModule(path)).recipe).toEqual({ layers: 2 });
  });
});

describe("resolveEnvironment", () => {
  it("makes paths absolute, and leaves names alone", () => {
    expect(resolveEnvironment("code", "/studies")).toBe("code");
    expect(resolveEnvironment("./mine.js", "/studies")).toBe("/studies/mine.js");
    expect(resolveEnvironment("mine.ts", "/studies")).toBe("/studies/mine.ts");
    expect(resolveEnvironment("/elsewhere/mine.mjs", "/studies")).toBe("/elsewhere/mine.mjs");
  });
});

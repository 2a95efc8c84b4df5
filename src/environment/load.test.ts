/** @file Environments by name and by path: what is loaded, and what is said of what cannot be. */

import "../index.ts";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { ModuleError } from "../modules.ts";
import { randomFor } from "../random.ts";
import { contract } from "./contract.ts";
import { isTeachable } from "./index.ts";
import { loadEnvironment } from "./load.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-environment-"));
});

async function module(content: string, extension = "mjs"): Promise<string> {
  const path = join(folder, `${Math.random()}.${extension}`);
  await writeFile(path, content);
  return path;
}

const whole = `{
  name: "mine", alphabet: "ab", maxPromptLength: 1, maxCompletionLength: 1, labels: ["right"], families: ["cheat"],
  sample: () => ({ id: "a", prompt: "a", state: null }), demonstrate: () => "a", grade: async () => [], close: async () => {},
}`;

// Loading TypeScript takes in the library, once: a while on a busy machine.
describe("loadEnvironment", { timeout: 60_000 }, () => {
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

  it("fills in what an environment that only samples and grades leaves out", async () => {
    const path = await module(`export default () => ({
      sample: (split, random) => ({ id: split + random(), prompt: split, state: null }),
      grade: (tasks, texts) => texts.map((text) => ({ proxy: 1, true: Number(text === "a"), misbehaved: text === "x",
        ...(text === "y" && { attempted: true }) })),
    });`);
    const environment = await loadEnvironment(path);
    expect(environment.name).toMatch(/^0\.\d+$/);
    expect(isTeachable(environment)).toBe(false);
    const task = await environment.sample("train", randomFor("bare"));
    expect(await environment.grade([task, task, task, task], ["a", "b", "x", "y"])).toEqual([
      { proxy: 1, true: 1, misbehaved: false, attempted: false, eligible: true, label: "right" },
      { proxy: 1, true: 0, misbehaved: false, attempted: false, eligible: true, label: "wrong" },
      {
        ...{ proxy: 1, true: 0, misbehaved: true, attempted: true, eligible: true },
        ...{ family: "misbehaviour", label: "misbehaved" },
      },
      // Tried in vain: no misbehaviour yet.
      {
        ...{ proxy: 1, true: 0, misbehaved: false, attempted: true, eligible: true },
        ...{ family: "misbehaviour", label: "wrong" },
      },
    ]);
    for (const { promise, check } of contract)
      await expect(check(environment), promise).resolves.toBeUndefined();
    await environment.close();
  });

  it.each([
    ["export const environment = 1;", /default export should be a function.*is missing/],
    ["export default 1;", /default export should be a function.*is of type number/],
    ["export default () => ({ sample: () => 1 });", /not an environment:\n {2}grade: should be a function/],
    ["export default () => 1;", /not an environment:\n {2}it: .*object/],
    [
      `export default () => ({ ...${whole}, alphabet: "", grade: 1 });`,
      /alphabet: .*\n {2}grade: should be a function/,
    ],
    ["export default (", /cannot be loaded: /],
    ["throw new Error('no luck');", /cannot be loaded: no luck/],
    ["export default () => { throw new Error('no luck'); };", /its default export failed: no luck/],
    ["export default () => { throw 'no error'; };", /its default export failed: no error/],
  ])("says what is wrong with %j, and where", async (content, message) => {
    const path = await module(content);
    const loading = loadEnvironment(path);
    await expect(loading).rejects.toThrow(ModuleError);
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.toThrow(path);
  });

  it("loads TypeScript, on any version of Node, with what it imports", async () => {
    await writeFile(join(folder, "part.ts"), "export const name: string = 'typed';");
    const path = await module(
      `import { type Environment, randomFor } from "probeward";
       import { name } from "./part.ts";
       enum Digits { Most = 1 }
       const first: number = randomFor("a")();
       export default (): Environment => ({ ...(${whole} as Environment), name, labels: [String(first)], maxPromptLength: Digits.Most });`,
      "ts",
    );
    const { name, labels } = await loadEnvironment(path);
    expect({ name, labels }).toEqual({ name: "typed", labels: [String(randomFor("a")())] });
  });

  it("loads what stands in a TypeScript file now, not what stood there before", async () => {
    const path = await module(`export default () => (${whole});`, "ts");
    expect((await loadEnvironment(path)).name).toBe("mine");
    await writeFile(path, `export default () => ({ ...${whole}, name: "edited" });`);
    expect((await loadEnvironment(path)).name).toBe("edited");
  });

  it.each(["mjs", "ts"])("names the line of a .%s file that threw", async (extension) => {
    const path = await module("\nnull.made;\nexport default 1;", extension);
    await expect(loadEnvironment(path)).rejects.toThrow(
      new RegExp(`\\.${extension}:2(:\\d+)?: cannot be loaded`),
    );
    const late = await module("\n\nexport default () => null.made;", extension);
    await expect(loadEnvironment(late)).rejects.toThrow(
      new RegExp(`\\.${extension}:3(:\\d+)?: its default export failed`),
    );
  });

  it("says what to give instead of one that is not there", async () => {
    await expect(loadEnvironment("cod")).rejects.toThrow(/no environment "cod".*code.*my-environment\.js/);
    await expect(loadEnvironment(join(folder, "none.js"))).rejects.toThrow(/none\.js: there is no such file/);
  });
});

/** @file The house: which rooms may use which, no circle, and no Node where a page or a browser has to go. */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const src = fileURLToPath(new URL("../src", import.meta.url));

/** From the roof down: a room uses what is below it. What stands on one floor does not use one another. */
const FLOORS = [
  ["cli", "playground"],
  ["launch", "export", "serve", "endpoint", "web"],
  ["study"],
  ["prepare"],
  ["report"],
  ["arm"],
  ["training"],
  ["store", "engine"],
  ["audit"],
  ["model", "probe", "environment"],
  ["tensor"],
  ["python"],
  ["ground"],
];

/** Rooms that a page or a browser may be made of, and what in them is about files, processes and servers all the same. */
const PURE = ["arm", "audit", "training", "probe", "web"];
const ABOUT_FILES = ["training/chat.ts", "probe/probe-file.ts", "probe/sae.ts"];

/** What programs import is the face of the whole house. */
const FACE = "index.ts";

const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => /\.(ts|svelte)$/.test(path) && !/\.(test|d)\.ts$/.test(path));

/** What a file imports: values, types and what it loads later, and Node's own modules. */
const imports = new Map(
  files.map((file) => {
    const text = readFileSync(join(src, file), "utf8");
    const found = [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"(\.[^"]+|node:[^"]+)"/g)].map(
      (match) => match[1]!,
    );
    const named = found.map((name) =>
      name.startsWith("node:")
        ? name
        : relative(src, resolve(src, dirname(file), name)).replaceAll("\\", "/"),
    );
    return [file, named.filter((name) => name !== file)] as const;
  }),
);

const roomOf = (file: string) => (file.includes("/") ? file.split("/")[0]! : "ground");
const floorOf = (file: string) => FLOORS.findIndex((rooms) => rooms.includes(roomOf(file)));

describe("the house", () => {
  it("has no room without a floor, and knows what its files import", () => {
    expect(files.filter((file) => floorOf(file) < 0)).toEqual([]);
    expect([...imports.values()].flat().length).toBeGreaterThan(files.length);
    expect(imports.get("engine/engine.ts")).toContain("model/index.ts");
  });

  it("has no circle, types and what is loaded later included", () => {
    const done = new Set<string>();
    const way: string[] = [];
    const circles: string[] = [];
    const visit = (file: string) => {
      if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file].join(" -> "));
      if (done.has(file) || way.includes(file)) return;
      way.push(file);
      for (const next of imports.get(file) ?? []) visit(next);
      way.pop();
      done.add(file);
    };
    for (const file of files) visit(file);
    expect(circles).toEqual([]);
  });

  it("has no arrow that runs up, or along a floor", () => {
    const wrong = [...imports].flatMap(([file, named]) =>
      named
        .filter((name) => imports.has(name) && file !== FACE && roomOf(name) !== roomOf(file))
        .filter((name) => (name === FACE ? roomOf(file) !== "cli" : floorOf(name) <= floorOf(file)))
        .map((name) => `${file} -> ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  it("has no exported name twice", () => {
    const places = new Map<string, string[]>();
    // What stands in for Node's modules has their names.
    const own = (one: string) => !one.endsWith("index.ts") && !one.startsWith("playground/node/");
    for (const file of files.filter((one) => one.endsWith(".ts") && own(one)))
      for (const [, name] of readFileSync(join(src, file), "utf8").matchAll(
        /^export (?:declare |abstract |async )*(?:function\*?|const|let|class|enum|interface|type) (\w+)/gm,
      ))
        places.set(name!, [...(places.get(name!) ?? []), file]);
    expect(places.size).toBeGreaterThan(500);
    expect([...places].filter(([, where]) => where.length > 1)).toEqual([]);
  });

  it("has nothing of Node's in rooms that a browser has to go into", () => {
    const wrong = [...imports].flatMap(([file, named]) =>
      named
        .filter((name) => name.startsWith("node:"))
        .filter(() => PURE.includes(roomOf(file)) && !ABOUT_FILES.includes(file))
        .map((name) => `${file} -> ${name}`),
    );
    expect(wrong).toEqual([]);
  });
});

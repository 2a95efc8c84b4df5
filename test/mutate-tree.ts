/** @file Documents that are whole and say the wrong things: keys lost, renamed, and added, values of other kinds and sizes. */

import { parse, stringify } from "yaml";
import { pick, type Random, randomInt } from "../src/random.ts";

type Tree = Record<string, unknown> | unknown[];

/** What stands where something else should: of every kind, of all sizes, and names that objects of JavaScript have. */
const values: unknown[] = [
  ...[null, true, false, 0, -1, 0.5, 1e9, 2 ** 31 - 1, 2 ** 31, 2 ** 53, 1e308, -1e308],
  ...["", "x", "NaN", "toString", "__proto__", "../x", "\u0000", "\ud800", "(a+)+$", "{{ x"],
  ...[[], {}, [[]], [null], [0], ["x"], { x: 1 }, { length: 1e9 }, { toString: 1 }],
];
const keys = ["__proto__", "constructor", "toString", "length", "", "x", "type", "0"];

const isTree = (value: unknown): value is Tree => typeof value === "object" && value !== null;

/** All tables and lists of a document. */
function trees(root: Tree): Tree[] {
  return [root, ...Object.values(root).filter(isTree).flatMap(trees)];
}

function set(tree: Tree, key: string, value: unknown): void {
  if (Array.isArray(tree)) tree[/^\d+$/.test(key) ? Number(key) : tree.length] = value;
  else Object.defineProperty(tree, key, { value, enumerable: true, configurable: true, writable: true });
}

/** Changes one thing in a document, or several. */
export function mutateTree(document: Tree, random: Random): Tree {
  const root = structuredClone(document);
  for (let n = randomInt(random, 3); n >= 0; n--) {
    // Large lists, of tokens say, are not all there is to a file.
    const tree = pick(random, random() < 0.5 ? [root] : trees(root));
    const entries = Object.keys(tree);
    const key = entries.length > 0 ? pick(random, entries) : "x";
    const old = (tree as Record<string, unknown>)[key];
    const changes = [
      () => set(tree, key, structuredClone(pick(random, values))),
      () => (Array.isArray(tree) ? tree.splice(Number(key), 1) : delete tree[key]),
      () => set(tree, pick(random, keys), old),
      () => {
        if (Array.isArray(tree)) tree.push(old);
        else {
          delete tree[key];
          set(tree, pick(random, entries.length > 0 ? entries : keys), old);
        }
      },
      () => set(tree, key, random() < 0.5 ? [old] : { [pick(random, keys)]: old }),
      () => typeof old === "number" && set(tree, key, old * pick(random, [-1, 0, 2, 0.5, 1e3, 1e9])),
      () => typeof old === "string" && set(tree, key, old.slice(0, randomInt(random, old.length + 1))),
    ];
    pick(random, changes)();
  }
  return root;
}

/** How documents stand in files, by the ends of their names. */
const formats: Record<string, (bytes: Buffer, random: Random) => Buffer> = {
  json: (bytes, random) => json(mutateTree(JSON.parse(bytes.toString()) as Tree, random)),
  yaml: (bytes, random) => Buffer.from(stringify(mutateTree(parse(bytes.toString()) as Tree, random))),
  jsonl: (bytes, random) => {
    const lines = bytes.toString().trimEnd().split("\n");
    const at = randomInt(random, lines.length);
    lines[at] = json(mutateTree(JSON.parse(lines[at]!) as Tree, random)).toString();
    return Buffer.from(`${lines.join("\n")}\n`);
  },
  safetensors: (bytes, random) => {
    const end = 8 + Number(bytes.readBigUInt64LE());
    const header = json(mutateTree(JSON.parse(bytes.toString("utf8", 8, end)) as Tree, random));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    return Buffer.concat([length, header, bytes.subarray(end)]);
  },
};

/** The file's contents with its document changed; undefined where the name says of no document. */
export function mutateDocument(path: string, bytes: Buffer, random: Random): Buffer | undefined {
  return formats[path.split(".").at(-1)!]?.(bytes, random);
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

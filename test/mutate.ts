/** @file Damaged versions of a file: what disks, editors, and people who mean harm do to it. */

import { pick, type Random, randomInt } from "../src/random.ts";
import { mutateDocument } from "./mutate-tree.ts";

type Mutation = (bytes: Buffer, random: Random) => Buffer;

const text = (change: (content: string, random: Random) => string): Mutation => {
  return (bytes, random) => Buffer.from(change(bytes.toString("utf8"), random));
};

/** The first match from a random place on; none where there is none behind it. */
function matchFrom(pattern: RegExp, content: string, random: Random): RegExpExecArray | null {
  pattern.lastIndex = randomInt(random, content.length + 1);
  return pattern.exec(content);
}

/** Puts another value in the place of one of a text's numbers, texts, lists or objects. */
const replaceValue = (values: readonly string[]) =>
  text((content, random) => {
    const found = matchFrom(/-?\d[\d.e+-]*|"[^"\n]*"|\[\]|\{\}|true|false|null/g, content, random);
    if (!found) return content;
    const { index, 0: old } = found;
    return content.slice(0, index) + pick(random, values) + content.slice(index + old.length);
  });

const deep = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

/** The mutations by name. Each gives a new buffer; none is larger than the file by more than 1 MB. */
export const mutations: Record<string, Mutation> = {
  "bits flipped": (bytes, random) => {
    const copy = Buffer.from(bytes);
    if (copy.length > 0)
      for (let n = randomInt(random, 8); n >= 0; n--)
        copy[randomInt(random, copy.length)]! ^= 1 << randomInt(random, 8);
    return copy;
  },
  "cut off": (bytes, random) => bytes.subarray(0, randomInt(random, bytes.length + 1)),
  "beginning lost": (bytes, random) => bytes.subarray(randomInt(random, bytes.length + 1)),
  "a part in the wrong place": (bytes, random) => {
    const [from, to, at] = [0, 1, 2].map(() => randomInt(random, bytes.length + 1)) as [
      number,
      number,
      number,
    ];
    return Buffer.concat([
      bytes.subarray(0, at),
      bytes.subarray(Math.min(from, to), Math.max(from, to)),
      bytes.subarray(at),
    ]);
  },
  zeros: (bytes, random) => {
    const copy = Buffer.from(bytes);
    const from = randomInt(random, copy.length + 1);
    return copy.fill(0, from, Math.min(copy.length, from + randomInt(random, 4096)));
  },
  "random bytes": (_, random) =>
    Buffer.from(Array.from({ length: randomInt(random, 256) }, () => randomInt(random, 256))),
  "a line twice": text((content, random) => {
    const lines = content.split("\n");
    return lines.toSpliced(randomInt(random, lines.length), 0, pick(random, lines)).join("\n");
  }),
  "a line lost": text((content, random) => {
    const lines = content.split("\n");
    return lines.toSpliced(randomInt(random, lines.length), 1).join("\n");
  }),
  "a giant number": replaceValue([
    "1e308",
    "1e999",
    "-1e999",
    "9007199254740993",
    `1${"0".repeat(5000)}`,
    "1e-400",
  ]),
  "a value of another kind": replaceValue([
    "null",
    "true",
    "-1",
    "0.5",
    '""',
    "[]",
    "{}",
    '"NaN"',
    "NaN",
    "Infinity",
  ]),
  "a strange name": replaceValue([
    '"__proto__"',
    '"constructor"',
    '"../../../etc/passwd"',
    '"\\u0000"',
    '"toString"',
  ]),
  "a long text": replaceValue([`"${"a".repeat(2e5)}"`]),
  "deep nesting": replaceValue([deep(200), deep(50_000), `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`]),
  "brackets without end": replaceValue(["[".repeat(50_000), '{"a":'.repeat(20_000)]),
  "keys twice": text((content, random) => {
    const found = matchFrom(/"[^"\n]*":\s*/g, content, random);
    if (!found) return content;
    const { index, 0: key } = found;
    return `${content.slice(0, index)}${key}${pick(random, ["{}", "1", '"x"', "null"])}, ${content.slice(index)}`;
  }),
  "a huge length": (bytes, random) => {
    const copy = Buffer.from(bytes);
    const lengths = [2n ** 64n - 1n, 2n ** 63n, 2n ** 32n, 2n ** 31n, BigInt(copy.length)];
    if (copy.length >= 8) copy.writeBigUInt64LE(pick(random, lengths), 0);
    return copy;
  },
};

/** A damaged version of a file: of its bytes, by one mutation or several, or of the document in it. */
export function mutate(path: string, bytes: Buffer, random: Random): { how: string; bytes: Buffer } {
  const document = random() < 0.5 ? mutateDocument(path, bytes, random) : undefined;
  if (document) return { how: "another document", bytes: document };
  const how = Array.from({ length: random() < 0.7 ? 1 : 2 }, () => pick(random, Object.keys(mutations)));
  return {
    how: how.join(", "),
    bytes: how.reduce((damaged, name) => mutations[name]!(damaged, random), bytes),
  };
}

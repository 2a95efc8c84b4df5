import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { randomFor, randomInt } from "../random.ts";
import { encodeSafetensors, writeFetched, writeSafetensors } from "./safetensors.ts";
import { readSafetensors } from "./safetensors-file.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-safetensors-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** What is read of a file with these bytes. */
async function reading(bytes: Uint8Array) {
  const path = join(folder, "model.safetensors");
  await writeFile(path, bytes);
  return readSafetensors(path);
}

const example = {
  "blocks.0.weight": { shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 0, 1e-30, 7) },
  tokens: { shape: [3], data: Int32Array.of(-1, 0, 2147483647) },
  empty: { shape: [0, 4], data: new Float32Array() },
  scalar: { shape: [], data: Float32Array.of(42) },
};

/** A file with the given header and data, whether or not they make sense. */
function file(header: unknown, data: Uint8Array = new Uint8Array()): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  bytes.set(data, 8 + json.length);
  return bytes;
}

test("tensors and metadata come back as they were", async () => {
  const { tensors, metadata } = await reading(encodeSafetensors(example, { format: "pt", note: "Grüße" }));
  expect(metadata).toEqual({ format: "pt", note: "Grüße" });
  expect(Object.keys(tensors).sort()).toEqual(Object.keys(example).sort());
  for (const [name, { shape, data }] of Object.entries(example)) {
    expect(tensors[name]!.shape).toEqual(shape);
    expect(tensors[name]!.data).toEqual(data);
  }
  expect(tensors.tokens!.dtype).toBe("int32");
});

test("any tensors come back, bit for bit, even with awkward names", async () => {
  const tensor = fc.float32Array({ maxLength: 20 }).map((data) => ({ shape: [data.length], data }));
  const name = fc
    .oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "1"))
    .filter((n) => n !== "__metadata__");
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(name, tensor)), async (entries) => {
      const { tensors } = await reading(encodeSafetensors(Object.fromEntries(entries)));
      const expected = new Map(entries);
      expect(Object.keys(tensors).length).toBe(expected.size);
      for (const [name, { data }] of expected)
        expect(new Uint8Array(tensors[name]!.data.buffer)).toEqual(
          new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
        );
    }),
  );
});

test("the header is padded to eight bytes and starts with its length", () => {
  const bytes = encodeSafetensors({ a: { shape: [1], data: Float32Array.of(1) } });
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  expect(length % 8).toBe(0);
  expect(new TextDecoder().decode(bytes.subarray(8, 8 + length)).trimEnd()).toBe(
    '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
  );
  expect([...bytes.subarray(8 + length)]).toEqual([0, 0, 128, 63]);
});

test("half-precision tensors are widened", async () => {
  const halves = Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00, 0x8000, 0x3f80, 0xc049);
  const described = {
    half: { dtype: "F16", shape: [6], data_offsets: [0, 12] },
    brain: { dtype: "BF16", shape: [2], data_offsets: [12, 16] },
  };
  const { tensors } = await reading(file(described, new Uint8Array(halves.buffer)));
  expect([...tensors.half!.data]).toEqual([1, -2, 65504, 2 ** -24, Number.POSITIVE_INFINITY, -0]);
  expect([...tensors.brain!.data]).toEqual([1, -3.140625]);
});

test.each([
  ["an empty file", new Uint8Array(), "0 bytes"],
  [
    "a header longer than the file",
    Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 127, 123),
    "claims 9223372036854775807",
  ],
  ["a header that is not JSON", file("{"), "not JSON"],
  ["a header that is a list", file([]), "not a table"],
  ["metadata that is not text", file({ __metadata__: { a: 1 } }), "__metadata__"],
  ["a tensor without description", file({ a: null }), "tensor a"],
  ["an unknown dtype", file({ a: { dtype: "F64", shape: [0], data_offsets: [0, 0] } }), "Convert it to F32"],
  [
    "an inherited name as dtype",
    file({ a: { dtype: "toString", shape: [0], data_offsets: [0, 0] } }),
    "dtype",
  ],
  [
    "a negative size",
    file({ a: { dtype: "F32", shape: [-1], data_offsets: [0, 4] } }, new Uint8Array(4)),
    "shape",
  ],
  [
    "a size beyond the file",
    file({ a: { dtype: "F32", shape: [9e15], data_offsets: [0, 4] } }, new Uint8Array(4)),
    "needs",
  ],
  [
    "a shape whose size overflows",
    file({ a: { dtype: "F32", shape: [9e15, 9e15], data_offsets: [0, 4] } }),
    "needs",
  ],
  ["descending offsets", file({ a: { dtype: "F32", shape: [1], data_offsets: [4, 0] } }), "ascending"],
  [
    "offsets beyond the file",
    file({ a: { dtype: "F32", shape: [2], data_offsets: [0, 8] } }, new Uint8Array(4)),
    "take 8 bytes",
  ],
  [
    "bytes of no tensor",
    file({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4] } }, new Uint8Array(8)),
    "has 8",
  ],
  [
    "tensors that overlap",
    file(
      {
        a: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
        b: { dtype: "F32", shape: [1], data_offsets: [2, 6] },
      },
      new Uint8Array(6),
    ),
    "tensor b starts at byte 2",
  ],
])("%s is refused with the file's name", async (_, bytes, message) => {
  await expect(reading(bytes)).rejects.toThrow(/^\S+model\.safetensors/);
  await expect(reading(bytes)).rejects.toThrow(message);
});

test("a thousand damaged files give clean errors or whole tensors", async () => {
  const random = randomFor("safetensors", "fuzz");
  const whole = encodeSafetensors(example, { a: "b" });
  let refused = 0;
  for (let round = 0; round < 1000; round++) {
    let bytes = Uint8Array.from(whole);
    for (let edits = 1 + randomInt(random, 4); edits > 0; edits--)
      bytes[randomInt(random, random() < 0.5 ? 8 : bytes.length)] = randomInt(random, 256);
    if (random() < 0.3) bytes = bytes.slice(0, randomInt(random, bytes.length + 1));
    try {
      for (const { shape, data } of Object.values((await reading(bytes)).tensors))
        expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
    } catch (error) {
      refused++;
      expect((error as Error).message).toMatch(/^\S+model\.safetensors/);
    }
  }
  expect(refused).toBeGreaterThan(500);
});

test("data that does not fill its shape is not written", () => {
  expect(() => encodeSafetensors({ a: { shape: [3], data: new Float32Array(2) } })).toThrow(
    "needs 3 numbers",
  );
  expect(() => encodeSafetensors({ __metadata__: { shape: [0], data: new Float32Array() } })).toThrow(
    "__metadata__",
  );
});

test("files are replaced whole and leave nothing beside them", async () => {
  const folder = await mkdtemp(join(tmpdir(), "safetensors-"));
  const path = join(folder, "model.safetensors");
  try {
    await writeFile(`${path}.partial`, "left by a process that was killed");
    await writeSafetensors(path, { a: { shape: [1], data: Float32Array.of(1) } });
    await writeSafetensors(path, { a: { shape: [1], data: Float32Array.of(2) } });
    expect([...(await readSafetensors(path)).tensors.a!.data]).toEqual([2]);
    expect(await readdir(folder)).toEqual(["model.safetensors"]);
    await expect(readSafetensors(join(folder, "none.safetensors"))).rejects.toThrow("none.safetensors");
    await expect(writeSafetensors(join(path, "x"), {})).rejects.toThrow(/cannot write .*a file stands/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("tensors that are fetched one after the other make the same file, and its checksum", async () => {
  const tensors = Object.fromEntries(
    ["b", "a", "10", "2"].map((name, i) => [name, { shape: [i, 3], data: new Float32Array(3 * i).fill(i) }]),
  );
  let held = 0;
  const path = join(folder, "fetched.safetensors");
  const sha = await writeFetched(
    path,
    Object.fromEntries(
      Object.entries(tensors).map(([name, { shape, data }]) => {
        const fetch = async () => {
          expect(++held).toBe(1);
          await new Promise((resolve) => setTimeout(resolve, 1));
          held--;
          return data;
        };
        return [name, { shape, fetch }];
      }),
    ),
  );
  const bytes = await readFile(path);
  expect(new Uint8Array(bytes)).toEqual(encodeSafetensors(tensors));
  expect(sha).toBe(createHash("sha256").update(bytes).digest("hex"));
});
